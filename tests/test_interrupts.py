"""Told to end (SIGTERM) wherever it is, a study says how to go on and exits as after Ctrl-C."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, tiny_run, tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg import service
from tune_diffreg.interrupts import sigterm_as_ctrl_c
from tune_diffreg.patience import StorageLost
from tune_diffreg.results import StudyFolder, read_journal, read_state
from tune_diffreg.tracking import Follower, Outcome
from tune_diffreg.tracking.follower import Source
from tune_diffreg.tracking.spool import Spool


def terminated(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(5)
    raise AssertionError("SIGTERM had no effect")


class Untold:
    """A follower that tells MLflow nothing."""

    waiting = 0

    def __init__(self, _: Source) -> None:
        pass

    def close(self, *_: Any) -> Outcome:
        return Outcome(0, 0, "", 0, Path("refused"))

    def leave(self) -> Outcome:
        return Outcome(0, 3, "nobody waited for it", 0, Path("refused"))


@pytest.fixture
def searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that takes no time, and no MLflow."""

    def search(session: service.Session, *_: Any) -> dict[str, Any]:
        study = session.study
        subject = coordinator(session.folder.storage, study)
        play(subject, study)
        subject.close(subject.finished)
        return read_state(session.folder, running=False)

    monkeypatch.setattr(service, "run_search", search)
    monkeypatch.setattr(service, "Follower", Untold)


def test_while_it_prepares(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "prepare_with_progress", terminated)
    status, printed = command(*tiny_run(tmp_path))
    assert (status, printed) == (130, "Interrupted before the study began.\n")
    StudyFolder(tmp_path, "digits").create(tiny_study())
    status, printed = command(*tiny_run(tmp_path))
    assert status == 130
    assert "Nothing is lost. Go on with:" in printed
    assert f"resume digits --storage {tmp_path}" in printed


@pytest.mark.usefixtures("searched")
def test_while_it_writes_its_report(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "write_report", terminated)
    status, printed = command(*tiny_run(tmp_path))
    assert status == 130, printed
    assert "Nothing is lost" in printed
    assert f"resume digits --storage {tmp_path}" in printed


@pytest.mark.usefixtures("searched")
def test_while_it_waits_for_mlflow(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study has ended, so nothing is left to be gone on with but the delivery."""
    monkeypatch.setattr(service, "deliver_rest", terminated)
    status, printed = command(*tiny_run(tmp_path))
    assert status == 0, printed
    assert "nobody waited for it): 3 records wait. Deliver later with:" in printed
    assert "digits: 8 trials in" in printed
    assert read_journal(tmp_path / "digits" / "journal.jsonl")[-1]["event"] == "stop"


def test_a_follower_that_is_left_says_what_waits(tmp_path: Path) -> None:
    halted = threading.Event()

    class Halted:
        def deliver(self) -> None:
            halted.wait(60)

        def finish(self, *_: Any) -> None:
            """Nothing."""

    follower = Follower(Source(Spool(tmp_path / "journal.jsonl", tmp_path / "told.json"), Halted))
    outcome = follower.leave()
    halted.set()
    assert outcome.problem == "nobody waited for it"


@pytest.mark.slow
def test_ray_does_not_get_to_decide_what_it_means() -> None:
    from tune_diffreg.search.cluster import ray_cluster

    before = signal.getsignal(signal.SIGTERM)
    with sigterm_as_ctrl_c(), pytest.raises(KeyboardInterrupt), ray_cluster(None):
        terminated()
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_storage_that_is_gone_ends_it_too(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unmounted, say: not even what was written can be read."""

    def unmounted(session: service.Session, *_: Any) -> dict[str, Any]:
        session.folder.journal.touch()
        lost = StorageLost("The storage could not be written for 0:05 (No such file or directory).")
        session.patience.lost = lost
        session.folder.storage.rename(tmp_path / "elsewhere")
        raise lost

    monkeypatch.setattr(service, "run_search", unmounted)
    monkeypatch.setattr(service, "Follower", Untold)
    status, printed = command(*tiny_run(tmp_path / "runs"))
    assert status == 130, printed
    assert "The storage could not be written for 0:05" in printed
    assert f"Nothing is lost. Go on with:  tune-diffreg resume digits --storage {tmp_path}" in (
        printed
    )
