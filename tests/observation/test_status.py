"""`status`: where a study stands while it runs, after it was killed, and when it is over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Command, tiny_study
from tests.observation.test_live import live, trial
from tests.search.test_coordinator import coordinator, play, scores
from tune_diffreg.observation import read_status
from tune_diffreg.observation.live import write_live
from tune_diffreg.results import StudyFolder, read_state
from tune_diffreg.search.coordinator import Coordinator

STUDY = tiny_study("search.baselines={}", "halving.variant=stop")


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Coordinator, StudyFolder]:
    """A study of which two trials run and three have failed, two of them for one reason."""
    subject = coordinator(tmp_path, STUDY)
    for reason in (None, None, "fd became nan at 320 images seen", "out of memory on the device",
                   "fd became nan at 1,280 images seen"):  # fmt: skip
        assignment = subject.next_trial()
        assert assignment is not None
        if reason:
            subject.fail(assignment.trial_id, reason)
    return subject, StudyFolder(tmp_path, STUDY.name)


@pytest.fixture
def running(begun: tuple[Coordinator, StudyFolder]) -> Iterator[StudyFolder]:
    with begun[1].lock():
        yield begun[1]


def shown(command: Command, folder: StudyFolder) -> str:
    status, words = command("status", folder.name, "--storage", folder.storage)
    assert status == 0
    return words


def test_while_it_runs_it_shows_speed_use_and_who_stands_out(
    running: StudyFolder, command: Command
) -> None:
    write_live(
        running,
        live(
            trial("t0000", images_per_second=90.0, cpu=0.5, device="0", gpu=0.75, restarts=1),
            trial("t0001", silent_s=100.0, host="node-b"),
            trial("t0005", silent_s=None, host=None),
            time=time.time(),
        ),
    )
    words = shown(command, running)
    assert "running: process 12 on head" in words
    assert (
        "40 images/s in the last minute; 50% of the CPU cores of 2 trials busy; 75% of 1 GPU "
        "with a trial busy; 1 trial waiting for a place" in words
    )
    assert "t0001 stands out: no sign of life for 1:40" in words
    assert "2 failed: fd became nan at 320 images seen (t0002, t0004)" in words
    assert "1 failed: out of memory on the device (t0003)" in words
    assert "9 records wait for MLflow" in words
    table = words[words.index("images/s in the last minute") :]
    assert table.index("t0001") < table.index("t0000")  # who stands out comes first
    for column in ("images/s", "last sign", "CPU", "GPU", "restarts", "waiting"):
        assert column in table


def test_json_has_the_summary_and_more(running: StudyFolder, command: Command) -> None:
    write_live(running, live(trial("t0001", silent_s=100.0), time=time.time()))
    status, printed = command("status", running.name, "--storage", running.storage, "--json")
    assert status == 0
    found = json.loads(printed)
    summary = read_state(running)
    assert {key: found[key] for key in summary} | {"wall_s": 0} == summary | {"wall_s": 0}
    assert set(found) - set(summary) == {"failures", "mlflow", "session", "live", "note"}
    assert found["state"] == "running"
    assert found["failures"] == [
        {"reason": "fd became nan at 320 images seen", "trials": ["t0002", "t0004"]},
        {"reason": "out of memory on the device", "trials": ["t0003"]},
    ]
    assert found["mlflow"] == {"waiting": 9, "refused": 0}
    assert found["session"]["pid"] == 12
    assert found["note"] is None
    assert found["live"]["images_per_second"] == 40.5
    (only,) = found["live"]["running"]
    assert only["straggler"].startswith("no sign of life for 1:40")


def test_after_a_kill_it_says_that_nothing_runs_it_and_believes_no_old_state(
    begun: tuple[Coordinator, StudyFolder], command: Command
) -> None:
    folder = begun[1]
    write_live(folder, live(trial("t0000"), time=time.time() - 30))
    words = shown(command, folder)
    assert "not running: process 12 on head ended without a word, 0:3" in words
    assert f" resume {folder.name} --storage {folder.storage}" in words
    assert "images/s" not in words
    found = read_status(folder)
    assert found["live"] is None
    assert found["state"] == "interrupted"
    assert found["session"]["state"] == "running"


def test_after_an_interrupt_it_says_so(
    begun: tuple[Coordinator, StudyFolder], command: Command
) -> None:
    write_live(begun[1], live(state="interrupted"))
    assert "not running: it was interrupted; go on with: " in shown(command, begun[1])


def test_a_file_that_is_old_or_damaged_costs_a_sentence(
    running: StudyFolder, command: Command
) -> None:
    write_live(running, live(trial("t0000"), time=time.time() - 3600))
    words = shown(command, running)
    assert "running: process 12 on head" in words
    assert "live.json was written 1:00:00 ago; what trials are doing now is not known" in words
    assert "images/s" not in words
    running.live.write_text("{")
    words = shown(command, running)
    assert "running: a process" in words
    assert "live.json is damaged and left out (invalid JSON" in words


def test_a_study_that_is_over_shows_its_end(
    begun: tuple[Coordinator, StudyFolder], command: Command
) -> None:
    subject, folder = begun
    for name in ("t0000", "t0001"):
        for rung in STUDY.rungs():
            subject.report(name, rung, 1.0, scores(50 - rung / 100))
    play(subject, STUDY)
    subject.close(subject.finished)
    words = shown(command, folder)
    assert "not running: complete" in words
    assert "3 failed" not in words
    assert "resume" not in words
