"""How far one driver goes: a thousand trials at a time, ten thousand in all.

    python -m benchmarks.scale [--trials 10000] [--concurrent 1000] [--actors 64] [--again]

The driver before simulated trials on a virtual clock, where its time goes, MLflow behind it, and
real Ray with many light actors. Each measurement has a process of its own. Stopped and started
again, it goes on; with --again it forgets what it has.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.control import OURS, STOCK, controlled
from benchmarks.driver import Load
from benchmarks.many_actors import on_ray
from benchmarks.output import RESULTS, device_name, write_result
from benchmarks.resumable import Rows, complete
from benchmarks.spool import STORES, spooled

RUNS = RESULTS / "scale_runs.csv"
RUNG_SECONDS = 60.0
"""To a trial's first rung. Short for a GPU, so that there is much to do."""
_DRAIN_SECONDS = 40.0
_RAY_PAUSE = 2.0
_WAIT_TARGET = 1.0


@dataclass(frozen=True)
class Job:
    """One measurement.

    Attributes:
        part: "driver", "pieces" (where the driver's time goes), "spool" or "ray".
        arm: whose proposals, or which store.
        slots: trials at a time, simulated or actors.
    """

    part: str
    arm: str
    trials: int
    slots: int


def jobs(trials: int, slots: int, actors: int) -> Iterator[Job]:
    """All measurements: small ones first."""
    small, few = trials // 10, slots // 10
    for arm in (OURS, STOCK):
        yield Job("driver", arm, small, few)
    for store in STORES:
        yield Job("spool", store, small // 2, few)
    yield Job("ray", OURS, actors * 10, actors)
    yield Job("driver", OURS, trials, slots)


def measured(job: Job) -> Rows:
    """The rows of one job, by a process of its own."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as process:
        return process.submit(measure, job).result()


def measure(job: Job) -> Rows:
    """The same in this process, whose functions are watched and partly replaced for good."""
    load = Load(job.slots, RUNG_SECONDS)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        if job.part == "driver":
            rows = controlled(job.arm, job.trials, load, scratch)
        elif job.part == "spool":
            rows = [spooled(job.arm, job.trials, load, scratch, _DRAIN_SECONDS)]
        else:
            rows = [on_ray(job.slots, job.trials, _RAY_PAUSE, scratch)]
    return [{**asdict(job), **row} for row in rows]


def result(runs: pd.DataFrame) -> dict[str, Any]:
    """What `scale.json` says."""
    rows = [{k: v for k, v in row.items() if not pd.isna(v)} for row in runs.to_dict("records")]
    most = max((r for r in rows if r["part"] == "driver"), key=lambda r: int(r["trials"]))
    waited = most["waited_ms_99"] / 1e3
    return {
        "device": device_name(),
        "setting": {"rung_seconds": RUNG_SECONDS, "pause_on_ray": _RAY_PAUSE},
        "rows": rows,
        "targets": {
            f"seconds from a free slot to the next trial, 99 of 100, {most['slots']:,} at a time": {
                "target": _WAIT_TARGET,
                "measured": waited,
                "met": waited <= _WAIT_TARGET,
            }
        },
    }


def main() -> None:
    """Measures what is missing and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000, help="of the largest study")
    parser.add_argument("--concurrent", type=int, default=1_000, help="of these, at a time")
    parser.add_argument("--actors", type=int, default=64, help="on real Ray")
    parser.add_argument("--again", action="store_true", help="measure all of it again")
    arguments = parser.parse_args()
    if arguments.again:
        RUNS.unlink(missing_ok=True)
    todo = jobs(arguments.trials, arguments.concurrent, arguments.actors)
    key = ("part", "arm", "trials", "slots")
    write_result("scale", result(complete(RUNS, todo, key, measured, processes=1)))


if __name__ == "__main__":
    main()
