"""A study with promotion on real Ray: actors reused, trials that pause lose nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from tests.conftest import tiny_run, tiny_study
from tune_diffreg.results import open_study, read_journal, replay
from tune_diffreg.search.checkpoint import BEFORE, LATEST
from tune_diffreg.search.trial import Trial, load_materials

pytestmark = pytest.mark.slow

SETTINGS = ["halving.variant=promote", "search.trials=10", "halving.controls=0.0"]


def trial_processes(driver: psutil.Process) -> set[int]:
    """The processes in which trials run now."""
    return {
        child.pid
        for child in driver.children(recursive=True)
        if "Trainable" in " ".join(child.cmdline())
    }


def test_promoted_trials_share_actors_and_end_as_if_they_had_never_paused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tune_diffreg", *tiny_run(tmp_path, *SETTINGS)]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    driver, actors = psutil.Process(running.pid), set[int]()
    while running.poll() is None:
        try:
            actors |= trial_processes(driver)
            running.wait(0.2)
        except (psutil.Error, subprocess.TimeoutExpired):
            continue
    assert running.stdout is not None
    assert running.returncode == 0, running.stdout.read()

    study = tiny_study(*SETTINGS)
    events = read_journal(open_study(tmp_path, "digits").journal)
    promoted = [event["trial"] for event in events if event["event"] == "promote"]
    segments = len(promoted) + study.search.trials
    assert promoted
    assert 1 <= len(actors) <= psutil.cpu_count() < segments  # type: ignore[operator]

    records = replay(events)
    assert all(record.ended for record in records.values())
    whole = [r for r in records.values() if r.id in promoted and r.state == "complete"]
    assert whole
    _, materials = load_materials(study, threads=1)
    for record in whole[:2]:
        straight = Trial(study.trial_config(record.values), materials, torch.device("cpu"))
        for report in record.reports:
            straight.train(until=report.images)
            assert straight.evaluate()[0] == report.scores

    # A checkpoint is kept no longer than its trial may still go on.
    kept = (tmp_path / "digits" / "trials").rglob("*.pt")
    assert {path.name for path in kept} & {LATEST, BEFORE} == set()
