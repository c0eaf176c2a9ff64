"""What a search costs beside its trials, ours and the stock recipe, on real Ray.

    python -m benchmarks.orchestration

Trials train nothing. From three studies that differ in trials and in reports follow seconds a trial
and seconds a report, all that comes before the first report left out. Every study runs three times,
and the middle counts: what is left is small against the noise of starting and stopping processes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median

from benchmarks import idle
from benchmarks.curves.measure import STUDY
from benchmarks.output import device_name, write_result
from tune_diffreg.study import Study, read_study

FEW, MANY = 4, 44
"""Trials of the studies on Ray."""
SHORT, LONG = 4, 24
"""Reports of each trial."""
_REPEATS = 3
_STEP = 32
_TARGET = 10


def study_of(trials: int, reports: int, sampler: str = "tpe") -> Study:
    """The digits study with a rung for each report."""
    return read_study(
        STUDY,
        [
            f"search.trials={trials}",
            f"search.sampler={sampler}",
            "search.baselines={}",
            "objective.constraints={}",
            f"training.images={_STEP * 2 ** (reports - 1)}",
            f"halving.first_rung={_STEP}",
            "halving.reduction_factor=2",
        ],
    )


def on_ray(run: Callable[[Study, Path], float]) -> dict[str, float]:
    """Seconds a trial, and a report more, of one of the two."""
    few, many, long = (
        median(_seconds(run, study_of(trials, reports)) for _ in range(_REPEATS))
        for trials, reports in ((FEW, SHORT), (MANY, SHORT), (MANY, LONG))
    )
    return {
        "seconds_a_trial": round((many - few) / (MANY - FEW), 3),
        "seconds_a_report": round((long - many) / (MANY * (LONG - SHORT)), 4),
        f"seconds_of_{MANY}_trials": round(many, 1),
    }


def _seconds(run: Callable[[Study, Path], float], study: Study) -> float:
    """Wall time from the first report to the end, in a process of its own."""
    with (
        tempfile.TemporaryDirectory() as scratch,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process,
    ):
        first = process.submit(run, study, Path(scratch)).result()
        return time.time() - first


def main() -> None:
    """Measures both and writes the result."""
    arms = {"ours": on_ray(idle.run_ours), "stock recipe": on_ray(idle.run_stock)}
    ours, stock = arms.values()
    print(arms, flush=True)
    write_result(
        "orchestration",
        {
            "device": device_name(),
            "rows": [{"arm": name, **row} for name, row in arms.items()],
            "targets": {
                f"stock recipe against ours, {unit.replace('_', ' ')}": {
                    "target": _TARGET,
                    "measured": (ratio := round(stock[unit] / ours[unit], 1)),
                    "met": ratio >= _TARGET,
                }
                for unit in ("seconds_a_trial", "seconds_a_report")
            },
        },
    )


if __name__ == "__main__":
    main()
