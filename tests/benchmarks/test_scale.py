"""The driver before many simulated trials, and behind it MLflow: the numbers are sane."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.control import OURS, STOCK
from benchmarks.driver import Driver, Load, scale_study
from benchmarks.pieces import Pieces
from benchmarks.scale import Job, jobs, measured, result
from benchmarks.spool import STORES, spooled
from tune_diffreg.results import StudyFolder, read_journal

TRIALS, SLOTS = 200, 50


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> tuple[Driver, StudyFolder]:
    """One that has driven its study to the end."""
    study = scale_study(TRIALS)
    folder = StudyFolder(tmp_path_factory.mktemp("scale"), study.name)
    driver = Driver(study, folder, Load(SLOTS, rung_seconds=60.0))
    driver.run()
    return driver, folder


def test_every_trial_is_driven_to_its_end_and_is_in_the_journal(
    driver: tuple[Driver, StudyFolder],
) -> None:
    subject, folder = driver
    records = subject.coordinator.records
    assert len(records) == TRIALS
    assert all(record.ended for record in records.values())
    reports = [e for e in read_journal(folder.journal) if e["event"] == "report"]
    assert len(reports) == len(subject.costs.rung.cpu)
    assert len(reports) >= TRIALS


def test_slots_are_never_more_than_there_are(driver: tuple[Driver, StudyFolder]) -> None:
    _, folder = driver
    running = most = 0
    for event in read_journal(folder.journal):
        paused = event["event"] == "report" and event["decision"] == "pause"
        ended = event["event"] == "report" and event["decision"] in ("prune", "complete")
        running += (event["event"] in ("start", "promote")) - paused - ended
        most = max(most, running)
    assert most == SLOTS


def test_a_trial_waits_as_long_as_the_driver_is_busy(driver: tuple[Driver, StudyFolder]) -> None:
    subject, _ = driver
    costs = subject.costs
    first = costs.start.wall[:SLOTS]
    assert np.allclose(costs.waited[:SLOTS], np.cumsum(first))  # all slots are free at once
    assert min(costs.waited) > 0
    assert len(costs.waited) <= len(costs.start.wall)
    # A trial takes a minute to its first rung: the driver is idle most of the time.
    assert sum(costs.start.wall) + sum(costs.rung.wall) < costs.seconds
    assert costs.seconds > 60 * TRIALS / SLOTS


def test_a_piece_is_counted_without_the_pieces_inside_it() -> None:
    class Work:
        def outer(self) -> None:
            self.inner()
            sum(range(100_000))

        def inner(self) -> None:
            sum(range(400_000))

    pieces = Pieces()
    pieces.watch(Work, "outer", "outer")
    pieces.watch(Work, "inner", "inner")
    for _ in range(20):
        Work().outer()
    pieces.stop()
    assert 1.5 < pieces.cpu["inner"] / pieces.cpu["outer"] < 10
    assert pieces.calls == {"outer": 20, "inner": 20}


@pytest.mark.slow
def test_mlflow_takes_all_that_waits(tmp_path: Path) -> None:
    row = spooled(STORES[0], trials=12, load=Load(4, 60.0), scratch=tmp_path, seconds=60)
    assert row["records"] > 2 * 12
    assert row["waiting_at_the_end"] == 0
    assert row["records_per_second"] > 0


@pytest.mark.slow
def test_ours_and_optunas_own_are_measured_and_told() -> None:
    runs = pd.DataFrame(
        row for arm in (OURS, STOCK) for row in measured(Job("driver", arm, 40, 10))
    )
    told = result(runs)
    ours, stock = (row for row in told["rows"] if row["part"] == "driver")
    assert ours["waited_ms"] <= ours["waited_ms_99"] < 60_000
    assert 0 <= ours["busy"] < 1
    waits = {
        row["arm"]: row["calls_a_trial"]
        for row in told["rows"]
        if row.get("piece") == "waiting for the disk"
    }
    assert waits[OURS] < waits[STOCK] / 2
    assert stock["optuna_mb"] == ours["optuna_mb"]
    (target,) = told["targets"].values()
    assert target["met"] == (ours["waited_ms_99"] <= 1000)


def test_no_measurement_is_made_twice() -> None:
    todo = list(jobs(trials=10_000, slots=1_000, actors=64))
    assert len(set(todo)) == len(todo)
    assert max(job.trials for job in todo) == 10_000
