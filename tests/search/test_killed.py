"""A driver that is killed, by SIGKILL, at random places: what it had decided stays decided."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import optuna_trials, tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg.results import Journal, StudyFolder, TrialRecord
from tune_diffreg.search.storage import OptunaFile
from tune_diffreg.study import Study

pytestmark = pytest.mark.slow

KILLS = 50


def search(storage: Path, study: Study, kill_at: int, share: float) -> None:
    """Runs the search, and kills its own process in the midst of writing line `kill_at`.

    Lines of the journal and of Optuna's file count alike.

    Args:
        share: how much of the line is on the disk by then; 1 with its end, above 1 with what
            follows in memory too, up to the next line.
    """
    folder = StudyFolder(storage, study.name)
    written = 0

    def dying(append: Callable[..., Any], path: Path) -> Callable[..., Any]:
        def append_and_die(*arguments: Any, **content: Any) -> Any:
            nonlocal written
            written += 1
            if written == kill_at + 1 and share > 1:
                os.kill(os.getpid(), signal.SIGKILL)
            before = path.stat().st_size
            result = append(*arguments, **content)
            if written == kill_at and share <= 1:
                os.truncate(path, before + round((path.stat().st_size - before) * share))
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return append_and_die

    Journal.append = dying(Journal.append, folder.journal)  # type: ignore[method-assign]
    OptunaFile.append_logs = dying(  # type: ignore[method-assign]
        OptunaFile.append_logs, folder.proposals
    )
    subject = coordinator(storage, study)
    play(subject, study)
    subject.close(subject.finished)


def killed(storage: Path, study: Study, kill_at: int, share: float) -> bool:
    """Whether a process of its own was killed before it was done."""
    process = multiprocessing.get_context("fork").Process(
        target=search, args=(storage, study, kill_at, share)
    )
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


def finished(storage: Path, study: Study) -> tuple[dict[str, TrialRecord], list[object]]:
    """The search brought to its end: its trials, and what Optuna was told."""
    subject = coordinator(storage, study)
    play(subject, study)
    assert subject.finished
    return subject.records, [
        (t.number, t.state, t.params, t.value, t.intermediate_values, t.constraints)
        for t in optuna_trials(storage / study.name)
    ]


@pytest.mark.parametrize("variant", ["stop", "promote"])
def test_a_driver_killed_anywhere_ends_with_the_decisions_of_one_that_was_not(
    tmp_path: Path, variant: str
) -> None:
    study = tiny_study(f"halving.variant={variant}", "search.trials=12", "halving.controls=0.2")
    straight = finished(tmp_path / "straight", study)
    written = StudyFolder(tmp_path / "straight", study.name)
    lines = sum(len(p.read_bytes().splitlines()) for p in (written.journal, written.proposals))
    dice = random.Random(variant)
    for number in range(KILLS):
        storage = tmp_path / str(number)
        assert killed(storage, study, dice.randint(1, lines - 1), dice.choice((0, 0.4, 1, 1.5)))
        if dice.random() < 0.5:  # and once more on the way
            killed(storage, study, dice.randint(1, lines), dice.choice((0, 0.4, 1, 1.5)))
        assert finished(storage, study) == straight
