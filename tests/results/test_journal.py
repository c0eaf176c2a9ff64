"""The journal: durable lines, a torn last one, and what is replayed from it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tune_diffreg.errors import InputError
from tune_diffreg.results import Journal, read_journal, replay, wall_seconds
from tune_diffreg.results.journal import events_from


def test_what_was_appended_is_read_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    written = [journal.append("session"), journal.append("promote", trial="t0")]
    assert read_journal(tmp_path / "journal.jsonl") == written


@pytest.mark.parametrize("torn", [b'{"event": "repo', b'{"event": "report"}', b"\xff"])
def test_a_torn_last_line_is_ignored_and_then_dropped(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    first = Journal(path).append("session")
    with path.open("ab") as file:
        file.write(torn)
    assert read_journal(path) == [first]
    second = Journal(path).append("stop", finished=False)
    assert read_journal(path) == [first, second]


def test_a_reader_goes_on_from_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append("session")
    ((_, offset),) = events_from(path, 0)
    second = journal.append("stop", finished=False)
    assert [event for event, _ in events_from(path, offset)] == [second]


def test_a_value_that_is_no_number_never_enters_the_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match="JSON"):
        journal.append("report", scores={"fid": float("nan")})
    assert read_journal(tmp_path / "journal.jsonl") == []


def test_half_a_character_is_written_as_one_that_can_be_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    written = journal.append(
        "end", trial="t0", state="failed", reason="no \udc80, µ and \U0001f600"
    )
    assert written["reason"] == "no ?, µ and \U0001f600"
    assert read_journal(tmp_path / "journal.jsonl") == [written]


def test_a_missing_journal_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="journal is missing"):
        read_journal(tmp_path / "journal.jsonl")


def test_trials_are_replayed_from_their_events() -> None:
    start = {"event": "start", "trial": "t0", "values": {"a": 1}, "baseline": None,
             "control": True, "proposal": 4}  # fmt: skip
    report = {"event": "report", "trial": "t0", "images": 10, "seconds": 1.5,
              "scores": {"fid": 3.0}, "decision": "continue"}  # fmt: skip
    end = {"event": "end", "trial": "t0", "state": "failed", "reason": "no luck"}
    (record,) = replay([json.loads(json.dumps(e)) for e in (start, report, end)]).values()
    assert (record.id, record.values, record.control, record.proposal) == ("t0", {"a": 1}, True, 4)
    assert (record.images, record.scores) == (10, {"fid": 3.0})
    assert (record.state, record.reason, record.ended) == ("failed", "no luck", True)


def test_times_only_rise_however_the_clock_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    first = journal.append("session")
    monkeypatch.setattr(time, "time", lambda: first["time"] - 3600)
    second = journal.append("stop")
    assert 0 <= second["time"] - first["time"] < 60


def test_breaks_between_sessions_do_not_count_as_time() -> None:
    times = [("session", 0), ("report", 10), ("stop", 12), ("session", 500), ("stop", 505)]
    assert wall_seconds({"event": e, "time": t} for e, t in times) == 17


def test_a_clock_that_is_set_back_takes_no_time_away() -> None:
    times = [("session", 5000), ("report", 5010), ("report", 1412), ("stop", 1415)]
    assert wall_seconds({"event": e, "time": t} for e, t in times) == 13
