"""What each knob does on digits, alone: off against on, at two sizes of the training set.

    python -m benchmarks.knobs [--processes 2]

Every training is the project's own trial, one thread, scored at its end; off and on are paired by
training seed. Stopped and started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from benchmarks.curves.measure import STUDY
from benchmarks.output import device_name, write_result
from benchmarks.resumable import complete
from tune_diffreg.search.trial import Materials, Trial, load_materials
from tune_diffreg.study import Study, read_study

RUNS = Path(__file__).parent / "results" / "knob_runs.csv"
SIZES = {150: 120_000, 900: 60_000}
"""Training images, and images seen: until few are copied, and until many are learned."""
SEEDS = 5
SCORES = ("memorized_fraction", "validation_loss", "fd_digits_cnn")
OFF = "all off"

# What differs from a training with nothing on: clipping at 1, uniform weights, epsilon, cosine.
KNOBS: dict[str, dict[str, Any]] = {
    OFF: {},
    "residual dropout 0.2": {"regularization.residual_dropout": 0.2},
    "attention dropout 0.1, outputs": {"regularization.attention_dropout": 0.1},
    "attention dropout 0.1, weights": {"regularization.attention_weight_dropout": 0.1},
    "stochastic depth 0.1": {"regularization.stochastic_depth": 0.1},
    "stochastic depth 0.2, growing with depth": {
        "regularization.stochastic_depth": 0.2,
        "regularization.depth_profile": "linear",
    },
    "weight decay 0.1": {"optimizer.weight_decay": 0.1},
    "clipping at 0.3": {"optimizer.clip_norm": 0.3},
    "no clipping": {"optimizer.clip_norm": None},
    "shift by one pixel": {"augmentation.translate": 0.125},
    "shift by one pixel, told": {
        "augmentation.translate": 0.125,
        "augmentation.conditional": True,
    },
    "rotation by 10 degrees": {"augmentation.rotate": 10.0},
    "rotation by 10 degrees, told": {"augmentation.rotate": 10.0, "augmentation.conditional": True},
    "crop of at most a quarter": {"augmentation.crop": 0.25},
    "mirror images": {"augmentation.horizontal_flip": 0.5},
    "mirror images, told": {"augmentation.horizontal_flip": 0.5, "augmentation.conditional": True},
    "colour 0.1": {"augmentation.color_jitter": 0.1},
    "warm-up over 6,000 images": {"optimizer.warmup": 6_000},
    "min-SNR weights": {"diffusion.loss_weighting": "min_snr"},
    "v prediction": {"diffusion.prediction_type": "v_prediction"},
    "linear schedule": {"diffusion.schedule.name": "linear"},
    "sigmoid schedule": {"diffusion.schedule.name": "sigmoid"},
    "hybrid schedule": {"diffusion.schedule.name": "hybrid"},
    "log-SNR shifted by -1": {"diffusion.schedule.shift": -1.0},
}


@dataclass(frozen=True)
class Training:
    """One of the trainings."""

    knob: str
    size: int
    seed: int


def trainings() -> Iterator[Training]:
    """All of them; every knob once before any a second time."""
    for seed in range(SEEDS):
        for size in SIZES:
            yield from (Training(knob, size, seed) for knob in KNOBS)


@cache
def study(size: int) -> Study:
    """The digits study with so many training images."""
    return read_study(
        STUDY,
        [
            f"data.train={size}",
            "data.validation=250",
            "data.test=47",
            f"training.images={SIZES[size]}",
            "evaluation.steps=20",
        ],
    )


@cache
def materials(size: int) -> Materials:
    """Loaded once a process."""
    return load_materials(study(size), threads=1)[1]


def train(training: Training) -> list[dict[str, Any]]:
    """The scores of one training, as a row."""
    values = {**KNOBS[training.knob], "training.seed": training.seed}
    config = study(training.size).trial_config(values)
    trial = Trial(config, materials(training.size), torch.device("cpu"))
    trial.train(until=config.training.images)
    scores, _ = trial.evaluate()
    return [{**vars(training), **{name: float(f"{x:.6g}") for name, x in scores.items()}}]


def effects(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a knob and size: means, and the difference to all off with its 95 % t-interval."""
    rows = []
    for size in SIZES:
        at_size = runs[runs["size"] == size].sort_values("seed")
        off = at_size[at_size["knob"] == OFF]
        for knob in KNOBS:
            on = at_size[at_size["knob"] == knob]
            row: dict[str, Any] = {"knob": knob, "size": size, "seeds": len(on)}
            for score in SCORES:
                row[score] = float(f"{on[score].mean():.4g}")
                if knob != OFF:
                    row[f"{score}_change"] = _difference(on[score], off[score])
            rows.append(row)
    return rows


def _difference(on: pd.Series[float], off: pd.Series[float]) -> dict[str, float]:
    """Mean of the paired differences, and how far its 95 % interval reaches to either side."""
    differences = on.to_numpy() - off.to_numpy()
    reach = stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    return {"mean": float(f"{np.mean(differences):.4g}"), "reach": float(f"{reach:.4g}")}


def main() -> None:
    """Trains what is missing, then writes the effects."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int)
    arguments = parser.parse_args()
    RUNS.parent.mkdir(exist_ok=True)
    key = ("knob", "size", "seed")
    runs = complete(RUNS, trainings(), key, train, arguments.processes)
    write_result(
        "knobs",
        {
            "device": f"{device_name()}, one thread a training",
            "setting": {"images": SIZES, "seeds": SEEDS},
            "rows": effects(runs),
            "targets": {},
        },
    )


if __name__ == "__main__":
    main()
