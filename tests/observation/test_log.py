"""The log of a study: a JSON object a line, whatever is said and whoever says it."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg.observation.log import EventLog, log_to


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("tune_diffreg")
    handlers, level = list(root.handlers), ours.level
    yield
    for handler in list(root.handlers):
        root.removeHandler(handler)
        if handler not in handlers:
            handler.close()
    for handler in handlers:
        root.addHandler(handler)
    ours.setLevel(level)
    logging.captureWarnings(False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    log_to(tmp_path / "log.jsonl", "digits")
    return tmp_path / "log.jsonl"


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_line_says_when_how_grave_who_and_of_which_study(file: Path) -> None:
    logging.getLogger("a.library").warning("the server\nwent %s", "away")
    (line,) = lines(file)
    assert {key: line[key] for key in line if key != "time"} == {
        "level": "warning", "logger": "a.library", "study": "digits",
        "message": "the server\nwent away",
    }  # fmt: skip
    assert line["time"].endswith("Z")
    assert abs(datetime.fromisoformat(line["time"]).timestamp() - file.stat().st_mtime) < 5


def test_an_exception_comes_with_its_traceback(file: Path) -> None:
    try:
        raise OSError("no space")
    except OSError:
        logging.getLogger("tune_diffreg.search").exception("a checkpoint could not be written")
    (line,) = lines(file)
    assert line["level"] == "error"
    assert line["traceback"].startswith("Traceback (most recent call last)")
    assert line["traceback"].endswith("OSError: no space")


def test_warnings_of_libraries_go_to_the_log_and_not_to_the_screen(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warnings.warn("an option is deprecated", UserWarning, stacklevel=1)
    logging.getLogger("some.library").info("chatter")
    (line,) = lines(file)
    assert line["logger"] == "py.warnings"
    assert "an option is deprecated" in line["message"]
    assert capsys.readouterr() == ("", "")


def test_a_last_line_that_was_cut_off_does_not_spoil_the_next(file: Path) -> None:
    logging.getLogger("one").warning("whole")
    with file.open("a") as torn:
        torn.write('{"time": "2026-')
    log_to(file, "digits")
    logging.getLogger("two").warning("whole too")
    assert [line["logger"] for line in lines(file)] == ["one", "two"]


def test_a_disk_that_is_full_costs_the_line_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "log.jsonl"
    full.symlink_to("/dev/full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tune_diffreg.observation.log.cut_torn_line", lambda _: None)
        log_to(full, "digits")
    logging.getLogger("tune_diffreg").warning("nobody will read this")
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_is_gone_costs_the_line_and_nothing_else(file: Path) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()  # and would be opened again
    file.parent.rename(file.parent.with_name("unmounted"))
    logging.getLogger("tune_diffreg").warning("nobody reads this")


def test_every_event_of_a_search_is_logged_with_its_trial(file: Path, tmp_path: Path) -> None:
    study = tiny_study("halving.variant=promote", "halving.controls=0.0")
    subject = coordinator(tmp_path, study)
    subject.listener = EventLog(study)
    subject.begin({"features": "digits_cnn"})
    play(subject, study)
    subject.fail("t0000", "too late: it has ended")
    subject.close(finished=True)
    written = lines(file)
    kinds = [line["event"] for line in written]
    assert kinds[0] == "session"
    assert kinds[-1] == "stop"
    assert kinds.count("start") == kinds.count("end") == 8
    assert set(kinds) == {"session", "start", "report", "promote", "end", "stop"}
    assert {line["trial"] for line in written[1:-1]} == set(subject.records)
    first = [line["message"] for line in written if line.get("trial") == "t0000"]
    assert first[0] == "baseline unregularized begins: as it is"
    assert first[1] == "continue at 320 images seen: fd_digits_cnn 124, memorized_fraction 0"
    assert first[-1] == "complete"


def test_trouble_is_a_warning_and_says_why(file: Path) -> None:
    log_event = EventLog(tiny_study())
    log_event({"event": "end", "trial": "t0003", "state": "failed", "reason": "fd became nan"})
    log_event({"event": "again", "trial": "t0004", "reason": "its process died"})
    log_event({"event": "repeat_failed", "run": "t0001-2", "reason": "out of memory"})
    log_event({"event": "end", "trial": "t0005", "state": "pruned", "reason": None})
    assert [(line["level"], line["trial"], line["message"]) for line in lines(file)] == [
        ("warning", "t0003", "failed: fd became nan"),
        ("warning", "t0004", "goes on from its checkpoint: its process died"),
        ("warning", "t0001-2", "failed: out of memory"),
        ("info", "t0005", "pruned"),
    ]


def test_what_was_logged_beside_a_trial_is_in_the_log_with_that_trial(file: Path) -> None:
    note = {"level": logging.WARNING, "logger": "tune_diffreg.search.checkpoint",
            "message": "100% of it is damaged", "traceback": "Traceback ..."}  # fmt: skip
    EventLog(tiny_study())({"event": "progress", "trial": "t0002", "images": 64, "notes": [note]})
    (line,) = lines(file)
    assert line["trial"] == "t0002"
    assert line["logger"] == "tune_diffreg.search.checkpoint"
    assert line["message"] == note["message"]
    assert line["traceback"] == "Traceback ..."
