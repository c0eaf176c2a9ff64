"""Optuna's file: few waits for the disk, and a power cut that takes what was not waited for."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, play
from tests.search.test_killed import finished
from tune_diffreg.results import StudyFolder


class Disk:
    """Knows how much of each file is on the disk for certain, and how often it was waited for."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.safe: dict[Path, int] = {}
        self.waits = Counter[str]()
        patch.setattr("os.fsync", self._fsync)

    def _fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self.safe[path] = os.fstat(descriptor).st_size
        self.waits[path.name] += 1

    def cut_the_power(self, *paths: Path) -> None:
        for path in paths:
            os.truncate(path, self.safe.get(path, 0))


@pytest.mark.parametrize("variant", ["stop", "promote"])
@pytest.mark.parametrize("stop_after", [0, 6, 9, 13])
def test_after_a_power_cut_a_search_ends_as_one_that_had_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str, stop_after: int
) -> None:
    study = tiny_study(f"halving.variant={variant}", "search.trials=12", "halving.controls=0.2")
    straight = finished(tmp_path / "straight", study)
    folder = StudyFolder(tmp_path / "cut", study.name)
    with monkeypatch.context() as patch:
        disk = Disk(patch)
        play(coordinator(folder.storage, study), study, stop_after)
        disk.cut_the_power(folder.journal, folder.proposals)
    assert finished(folder.storage, study) == straight


def test_a_trial_waits_once_for_the_disk_with_its_proposal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study("search.baselines={}")
    disk = Disk(monkeypatch)
    play(coordinator(tmp_path, study), study)
    assert disk.waits["optuna.jsonl"] == study.search.trials + 1  # and once for the study itself
