"""What the driver of a study costs before simulated trials, and where its time goes."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import psutil
from optuna.storages.journal import JournalFileBackend

from benchmarks.driver import Cost, Driver, Load, scale_study
from benchmarks.pieces import OUTSIDE, watch_driver
from tune_diffreg.observation import log_to
from tune_diffreg.results import StudyFolder
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.search.samplers import proposal_seed
from tune_diffreg.study import Study

Rows = list[dict[str, Any]]

OURS, STOCK = "ours", "Optuna's own TPE and file"


class StockProposals(Proposals):
    """As Optuna ships: all trials parted for each setting, and the disk waited for at each."""

    def __init__(self, study: Study, path: Path | None, claimed: set[int]) -> None:
        super().__init__(study, path, claimed)
        if self._storage is not None:
            self._storage._backend = JournalFileBackend(str(path))

    def save(self) -> None:
        """Everything is on the disk already."""

    def _sample_as(self, number: int) -> None:
        seed = proposal_seed(self._study.search, number)
        self._optuna.sampler = optuna.samplers.TPESampler(seed=seed, multivariate=False)


PROPOSALS = {OURS: Proposals, STOCK: StockProposals}


def controlled(arm: str, trials: int, load: Load, scratch: Path) -> Rows:
    """A whole study: a row of what it cost, and a row for each piece of the driver's work.

    This process is then good for nothing else: functions are watched, and it logs to a file.
    """
    study = scale_study(trials)
    folder = StudyFolder(scratch, study.name)
    folder.create(study)
    log_to(folder.log, study.name)
    process = psutil.Process()
    at_first = process.memory_info().rss
    pieces = watch_driver()
    driver = Driver(study, folder, load, PROPOSALS[arm])
    costs = driver.run()
    pieces.stop()
    memory = process.memory_info().rss - at_first
    begin = time.thread_time()
    Coordinator(study, folder, lambda _: None)
    resumed = time.thread_time() - begin
    busy = sum(sum(c.wall) for c in (costs.start, costs.nothing, costs.rung, costs.alive))
    results = len(costs.rung.cpu) + len(costs.alive.cpu)
    steady = np.array(costs.waited[load.slots :] or costs.waited)
    records = len(folder.journal.read_bytes().splitlines())
    row = {
        "results": results,
        "proposal_ms": _last_tenth(costs.start),
        "rung_ms": _last_tenth(costs.rung),
        "alive_ms": _last_tenth(costs.alive),
        "cpu_ms_a_result": round(
            1e3 * sum(sum(c.cpu) for c in (costs.start, costs.nothing, costs.rung, costs.alive))
            / results, 3,
        ),
        "waited_ms": round(1e3 * float(np.median(steady)), 1),
        "waited_ms_99": round(1e3 * float(np.percentile(steady, 99)), 1),
        "fill_s": round(costs.waited[min(load.slots, len(costs.waited)) - 1], 1),
        "busy": round(busy / costs.seconds, 3),
        "hours": round(costs.seconds / 3600, 3),
        "records_per_second": round(records / costs.seconds, 1),
        "resume_s": round(resumed, 2),
        "memory_mb": round(memory / 2**20),
        "journal_mb": round(folder.journal.stat().st_size / 2**20, 1),
        "optuna_mb": round(folder.proposals.stat().st_size / 2**20, 1),
        "log_mb": round(folder.log.stat().st_size / 2**20, 1),
    }  # fmt: skip
    shares = [
        {
            "part": "pieces",
            "piece": piece,
            "cpu_ms_a_trial": round(1e3 * pieces.cpu[piece] / trials, 3),
            "wall_ms_a_trial": round(1e3 * pieces.wall[piece] / trials, 3),
            "calls_a_trial": round(pieces.calls[piece] / trials, 2),
        }
        for piece in sorted(pieces.wall, key=lambda p: -pieces.cpu[p])
        if piece != OUTSIDE
    ]
    return [row, *shares]


def _last_tenth(cost: Cost) -> float:
    """CPU milliseconds of one, on average over the last tenth of the study."""
    last = cost.cpu[-max(1, len(cost.cpu) // 10) :]
    return round(1e3 * float(np.mean(last)), 3) if last else 0.0
