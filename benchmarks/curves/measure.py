"""Measures learning curves over the search space of `search_spaces/digits.yaml`.

    python -m benchmarks.curves.measure [--configurations 192] [--repeated 40] [--processes 2]

Configurations are a scrambled Sobol sample, then the study's baselines. Each is trained to the end
by the project's own trial, and scored at every milestone; the first ones and the baselines with
three training seeds. Stopped and started again, it goes on where it was: the table is replaced,
whole, after every training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import qmc

from benchmarks.output import device_name
from benchmarks.resumable import complete
from tune_diffreg.files import write_atomically
from tune_diffreg.results import versions
from tune_diffreg.results.formats import to_json
from tune_diffreg.search.trial import Materials, Trial, load_materials
from tune_diffreg.study import Study, read_study

HERE = Path(__file__).parent
TABLE = HERE / "digits.csv"
ABOUT = HERE / "digits.json"
STUDY = HERE.parent.parent / "search_spaces" / "digits.yaml"

# All that rungs with a reduction factor of 2, 3 or 4 may need, so that any of them can be replayed.
MILESTONES = (640, 1080, 1440, 1920, 2160, 2880, 4320, 5760, 8640, 17_280)
_SEEDS = 3
_SOBOL_SEED = 2026


@dataclass(frozen=True)
class Job:
    """One training: a configuration of the sample, and its training seed."""

    configuration: str
    values: dict[str, Any]
    seed: int


def sobol_configurations(study: Study, count: int, seed: int = _SOBOL_SEED) -> list[dict[str, Any]]:
    """The first `count` points of a scrambled Sobol sequence in the study's search space."""
    order = list(study.search_order())
    power = int(np.ceil(np.log2(count)))
    points = qmc.Sobol(len(order), rng=seed).random_base2(power)[:count]
    configurations = []
    for point in points:
        values: dict[str, Any] = {}
        for path, quantile in zip(order, point, strict=True):
            if study.search.space[path].applies(values):
                values[path] = study.search.space[path].at_quantile(float(quantile))
        configurations.append(values)
    return configurations


def jobs(study: Study, configurations: int, repeated: int) -> Iterator[Job]:
    """All trainings: every configuration once before any a second time."""
    sample = {
        f"c{i:03d}": values for i, values in enumerate(sobol_configurations(study, configurations))
    }
    again = {**dict(list(sample.items())[:repeated]), **study.search.baselines}
    for seed in range(_SEEDS):
        for name, values in (again if seed else {**sample, **study.search.baselines}).items():
            yield Job(name, values, seed)


@cache
def _prepared() -> tuple[Study, Materials]:
    """Loaded once a process."""
    study = read_study(STUDY, ["evaluation.rung_samples=null"])
    return study, load_materials(study, threads=1)[1]


def train(job: Job) -> list[dict[str, Any]]:
    """One row a milestone; seconds are processor time, which neighbours do not lengthen much."""
    study, materials = _prepared()
    config = study.trial_config({**job.values, "training.seed": job.seed})
    trial = Trial(config, materials, torch.device("cpu"))
    rows = []
    for milestone in MILESTONES:
        start = time.process_time()
        trial.train(until=milestone)
        trained = time.process_time()
        scores, _ = trial.evaluate()
        rows.append(
            {
                "configuration": job.configuration,
                "seed": job.seed,
                "images": milestone,
                "train_seconds": round(trained - start, 3),
                "evaluation_seconds": round(time.process_time() - trained, 3),
                **{name: float(f"{score:.6g}") for name, score in scores.items()},
                **job.values,
            }
        )
    return rows


def about(study: Study, materials: Materials, digest: str) -> dict[str, Any]:
    """What the table was measured with."""
    return {
        "config": study.trial_config({}).model_dump(mode="json"),
        "space": {path: d.model_dump(mode="json") for path, d in study.search.space.items()},
        "sobol_seed": _SOBOL_SEED,
        "milestones": list(MILESTONES),
        "data_sha256": digest,
        "features_sha256": materials.reference.extractor.digest,
        "versions": versions(),
        "machine": f"{device_name()}, one thread a training",
    }


def main() -> None:
    """Trains what the table does not hold yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configurations", type=int, default=192)
    parser.add_argument("--repeated", type=int, default=40)
    parser.add_argument("--processes", type=int)
    arguments = parser.parse_args()

    study = read_study(STUDY)
    splits, materials = load_materials(study, threads=1)
    write_atomically(ABOUT, to_json(about(study, materials, splits.digest)))
    wanted = jobs(study, arguments.configurations, arguments.repeated)
    key = ("configuration", "seed")
    table = complete(TABLE, wanted, key, train, arguments.processes)
    table = table.sort_values(["configuration", "seed", "images"])
    write_atomically(TABLE, table.to_csv(index=False))


if __name__ == "__main__":
    main()
