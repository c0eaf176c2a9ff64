"""The listener of a study: writes what it sees, and never hurts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tiny_study
from tests.terminal.test_display import ended, reported, started
from tune_diffreg.observation import observer as module
from tune_diffreg.observation.live import read_live
from tune_diffreg.observation.observer import Observer
from tune_diffreg.results import StudyFolder

STUDY = tiny_study()


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SECONDS", 0.05)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[StudyFolder]:
    made = StudyFolder(tmp_path, STUDY.name)
    made.create(STUDY)
    yield made
    made.root.chmod(0o700)


def written(folder: StudyFolder, condition: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """What is in the file once `condition` holds of it."""
    deadline = time.monotonic() + 10
    while True:
        live = json.loads(folder.live.read_text()) if folder.live.exists() else {}
        if live and condition(live):
            return live
        assert time.monotonic() < deadline, live
        time.sleep(0.02)


def test_the_file_follows_the_study_and_ends_with_its_last_state(folder: StudyFolder) -> None:
    with Observer(STUDY, folder, [], lambda: 5) as observer:
        assert written(folder, lambda _: True)["state"] == "running"
        observer(started("t0000", "unregularized"))
        observer({"event": "progress", "trial": "t0000", "images": 640, "hostname": "node-a"})
        live = written(folder, lambda live: live["running"] and live["running"][0]["images"])
        assert live["running"][0]["images"] == 640
        assert live["running"][0]["host"] == "node-a"
        assert live["waiting"] == 5
        observer(reported("t0000", 1280, 9.0, "complete"))
        observer(ended("t0000", "complete"))
        observer.state = "complete"
    live = json.loads(folder.live.read_text())
    assert live["state"] == "complete"
    assert live["running"] == []
    assert live["trials"]["complete"] == 1


def test_what_was_left_running_by_an_interrupt_stays_in_the_last_state(folder: StudyFolder) -> None:
    with pytest.raises(KeyboardInterrupt), Observer(STUDY, folder, [], lambda: 0) as observer:
        observer(started("t0000"))
        raise KeyboardInterrupt
    live, problem = read_live(folder)
    assert problem == ""
    assert live is not None
    assert live.state == "interrupted"
    assert [trial.trial for trial in live.running] == ["t0000"]


def test_it_is_written_seldom_however_many_events_there_are(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes = []
    monkeypatch.setattr(module, "write_live", lambda _, live: writes.append(live))
    monkeypatch.setattr(module, "_SECONDS", 60)
    with Observer(STUDY, folder, [], lambda: 0) as observer:
        observer(started("t0000"))
        for images in range(1000):
            observer({"event": "progress", "trial": "t0000", "images": images})
    assert 1 <= len(writes) <= 2  # at its beginning, if it was there to see it, and at its end


def test_neither_storage_nor_strange_events_hurt(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def full(*_: Any) -> None:
        tried.append(1)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_live", full)
    with Observer(STUDY, folder, [], lambda: 0) as observer:
        observer({"event": "progress", "trial": "t0099"})  # of a trial that never began
        observer({"event": "end", "trial": "t0099", "state": "complete", "reason": None})
        deadline = time.monotonic() + 10
        while len(tried) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        observer(started("t0000"))
        assert observer._pulse.snapshot("running", 0, 0.0, 0.0).running[0].trial == "t0000"
