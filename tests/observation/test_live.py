"""`live.json`: what is written is read again, and nothing else is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import tiny_study
from tune_diffreg.observation.live import (
    STALE_SECONDS,
    Live,
    LiveTrial,
    out_of_date,
    read_live,
    write_live,
)
from tune_diffreg.observation.stragglers import stragglers
from tune_diffreg.results import StudyFolder


def trial(name: str, **known: Any) -> LiveTrial:
    return LiveTrial(**{"trial": name, "images": 100, "silent_s": 1.0, "host": "a"} | known)


def live(*running: LiveTrial, **known: Any) -> Live:
    content = {
        "time": 1.7e9, "study": "digits", "state": "running", "host": "head", "pid": 12,
        "trials": {"running": len(running)}, "images_per_second": 40.5, "longest_pause_s": 5.0,
        "running": running, "waiting": 0,
    }  # fmt: skip
    return Live(**content | known)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    made = StudyFolder(tmp_path, "digits")
    made.create(tiny_study())
    return made


def test_what_is_written_is_read_again(folder: StudyFolder) -> None:
    written = live(trial("t0000", cpu=0.5), trial("t0001", silent_s=None, host=None))
    assert read_live(folder) == (None, "")
    write_live(folder, written)
    assert read_live(folder) == (written, "")
    assert [path.name for path in folder.root.iterdir()].count("live.json") == 1


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"images_per_second": float("nan")}, "images_per_second: "),
        ({"pid": -1}, "pid: "),
        ({"host": "\x1b[2Jhead"}, "host: must be printable text"),
        ({"running": {"t0000": 1}}, "running: "),
        ({"time": "yesterday"}, "time: "),
        ({"running": None}, "running: "),
    ],
)
def test_a_file_that_is_damaged_is_left_out_with_a_word(
    folder: StudyFolder, change: dict[str, Any], complaint: str
) -> None:
    content = json.loads(live().model_dump_json()) | change
    folder.live.write_text(json.dumps(content))
    found, problem = read_live(folder)
    assert found is None
    assert problem.startswith(f"live.json is damaged and left out ({complaint}")
    assert "\n" not in problem


@given(content=st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_no_content_at_all_breaks_the_reading(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    storage = tmp_path_factory.mktemp("any")
    (storage / "digits").mkdir()
    folder = StudyFolder(storage, "digits")
    folder.live.write_bytes(content)
    found, problem = read_live(folder)
    assert found is None
    assert problem.isprintable()


def test_a_file_that_is_cut_short_or_no_file_is_left_out(folder: StudyFolder) -> None:
    write_live(folder, live(trial("t0000")))
    whole = folder.live.read_bytes()
    for length in range(len(whole) - 1):
        folder.live.write_bytes(whole[:length])
        assert read_live(folder)[0] is None
    folder.live.unlink()
    folder.live.mkdir()
    assert read_live(folder) == (None, "live.json cannot be read (Is a directory)")


def test_a_file_that_is_old_or_of_a_clock_ahead_says_nothing_about_now() -> None:
    now = 1.7e9
    assert out_of_date(live(), now + STALE_SECONDS) == ""
    assert out_of_date(live(), now - STALE_SECONDS) == ""
    assert out_of_date(live(), now + 300) == (
        "live.json was written 5:00 ago; what trials are doing now is not known"
    )
    assert "5:00 ahead of this clock" in out_of_date(live(), now - 300)


def test_a_gpu_that_trials_share_counts_once_and_trials_that_wait_do_not_count() -> None:
    study = live(
        trial("t0000", device="0", gpu=0.9, cpu=0.5),
        trial("t0001", device="0", gpu=0.9, cpu=1.0),
        trial("t0002", device="0", gpu=0.3, host="b"),
        trial("t0003", silent_s=None, host=None),
    )
    assert study.gpu == pytest.approx(0.6)
    assert study.cpu == pytest.approx(0.75)
    assert live().gpu is live().cpu is None


def test_a_trial_is_silent_when_it_is_so_for_a_minute_and_three_of_the_longest_pauses() -> None:
    quiet = live(trial("t0000", silent_s=59.0), trial("t0001", silent_s=None))
    assert stragglers(quiet) == {}
    silent = live(trial("t0000", silent_s=61.0), trial("t0001"))
    assert stragglers(silent) == {
        "t0000": "no sign of life for 1:01; the longest pause of any trial was 0:05"
    }
    scoring = live(trial("t0000", silent_s=299.0), longest_pause_s=100.0)
    assert stragglers(scoring) == {}
    assert set(stragglers(live(trial("t0000", silent_s=301.0), longest_pause_s=100.0))) == {"t0000"}


def test_a_trial_is_slow_below_half_the_median_of_three_or_more() -> None:
    speeds = {"t0000": 100.0, "t0001": 110.0, "t0002": 49.0}
    running = [trial(name, images_per_second=speed) for name, speed in speeds.items()]
    assert stragglers(live(*running)) == {"t0002": "49 images/s, where the median is 100"}
    assert stragglers(live(*running[1:])) == {}
    running[2] = trial("t0002", images_per_second=51.0)
    assert stragglers(live(*running)) == {}
    running[2] = trial("t0002", images_per_second=None)  # not known yet
    assert stragglers(live(*running)) == {}
