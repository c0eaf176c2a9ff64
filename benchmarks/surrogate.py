"""A learning curve for any configuration of the digits search space, from those that were measured.

Gaussian processes over the configuration predict the curves' principal components: what a training
gives on average. What its seed adds is a whole measured deviation of one seed from the mean of its
configuration, drawn anew for each trial. How well the average is predicted is said by
cross-validation over configurations, beside what the seeds alone leave unpredictable.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.model_selection import KFold

from benchmarks.curves.measure import TABLE

Array = np.ndarray[Any, np.dtype[np.float64]]

OBJECTIVE, COPIES = "fd_digits_cnn", "memorized_fraction"
_COMPONENTS = {OBJECTIVE: 4, COPIES: 2}
_SCHEDULE, _BLEND = "diffusion.schedule.name", "diffusion.schedule.blend"
_CLIP = "optimizer.clip_norm"
_FOLDS = 10


def encode(values: Mapping[str, Any]) -> list[float]:
    """A configuration as numbers in [0, 1]. Linear and cosine are the ends of hybrid's blend."""
    schedule = values.get(_SCHEDULE, "cosine")
    blend = {"linear": 0.0, "cosine": 1.0, "sigmoid": 0.5}.get(schedule, values.get(_BLEND, 0.5))
    decay = max(values.get("optimizer.weight_decay", 0.0), 1e-4)
    clip = values.get(_CLIP, 1.0)
    return [
        values.get("regularization.residual_dropout", 0.0) / 0.5,
        values.get("regularization.attention_dropout", 0.0) / 0.1,
        values.get("regularization.stochastic_depth", 0.0) / 0.1,
        values.get("augmentation.translate", 0.0) / 0.125,
        values.get("augmentation.color_jitter", 0.0) / 0.1,
        1 + np.log10(decay) / 4,
        1.0 if clip is None else (np.log(clip) - np.log(0.3)) / np.log(3.0 / 0.3) * 0.8,
        blend,
        float(schedule == "sigmoid"),
    ]


def forward(name: str, scores: Array) -> Array:
    """Scores on a scale on which errors are alike: logarithm, or arcsine of the root for shares."""
    return np.log(scores) if name == OBJECTIVE else np.arcsin(np.sqrt(np.clip(scores, 0, 1)))


def backward(name: str, transformed: Array) -> Array:
    """The inverse of `forward`."""
    if name == OBJECTIVE:
        return np.exp(transformed)
    return np.sin(np.clip(transformed, 0, np.pi / 2)) ** 2


class CurveModel:
    """Predicts one score at all milestones from the encoded configuration."""

    def __init__(self, encoded: Array, curves: Array, components: int) -> None:
        self._pca = PCA(components).fit(curves)
        targets = self._pca.transform(curves)
        self._scale = targets.std(axis=0) + 1e-12
        self._models = []
        for target in (targets / self._scale).T:
            kernel = ConstantKernel(1.0) * Matern(
                np.ones(encoded.shape[1]), (0.1, 50.0), nu=2.5
            ) + WhiteKernel(0.1, (1e-3, 2.0))
            model = GaussianProcessRegressor(kernel, n_restarts_optimizer=1, random_state=0)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # a knob without effect
                self._models.append(model.fit(encoded, target))

    def predict(self, encoded: Array) -> Array:
        """`(N, milestones)` transformed scores."""
        found = np.stack([model.predict(encoded) for model in self._models], axis=1)
        restored: Array = self._pca.inverse_transform(found * self._scale)
        return restored


@dataclass(frozen=True)
class Table:
    """The measured curves, transformed, a row a configuration (mean over its seeds)."""

    milestones: tuple[int, ...]
    encoded: Array
    means: dict[str, Array]
    deviations: dict[str, Array]
    """A row a repeated training: its curve less the mean curve of its configuration."""
    seconds_per_image: Array
    evaluation_seconds: Array

    @classmethod
    def read(cls, path: Path = TABLE) -> Table:
        """Reads the table that `benchmarks.curves.measure` wrote."""
        rows = pd.read_csv(path)
        settings = [c for c in rows.columns if "." in c]
        values = rows.drop_duplicates("configuration").set_index("configuration")[settings]
        means: dict[str, Array] = {}
        deviations: dict[str, Array] = {}
        for name in (OBJECTIVE, COPIES):
            curves = rows.pivot(index=["configuration", "seed"], columns="images", values=name)
            curves[:] = forward(name, curves.to_numpy())
            mean = curves.groupby("configuration").mean()
            count = curves.groupby("configuration").size()
            means[name] = mean.loc[values.index].to_numpy()
            repeated = curves[curves.index.get_level_values(0).isin(count[count > 1].index)]
            deviation = repeated - mean.reindex(repeated.index.get_level_values(0)).to_numpy()
            n = count.loc[repeated.index.get_level_values(0)].to_numpy()[:, None]
            deviations[name] = (deviation * np.sqrt(n / (n - 1))).to_numpy()  # n - 1 are free
        totals = rows.groupby("configuration").agg(
            train=("train_seconds", "sum"), images=("images", "max"), runs=("seed", "nunique"),
            evaluation=("evaluation_seconds", "mean"),
        ).loc[values.index]  # fmt: skip
        return cls(
            tuple(sorted(int(m) for m in rows["images"].unique())),
            np.array([encode(_settings(row)) for _, row in values.iterrows()]),
            means,
            deviations,
            (totals["train"] / totals["runs"] / totals["images"]).to_numpy(),
            totals["evaluation"].to_numpy(),
        )


def _settings(row: pd.Series[Any]) -> dict[str, Any]:
    """The searched values of a row; an empty clip norm is the choice of none."""
    values = {str(k): v for k, v in row.items() if pd.notna(v)}
    return {**values, _CLIP: values.get(_CLIP)} if _SCHEDULE in values else values


class Surrogate:
    """Curves for any configuration."""

    def __init__(self, table: Table) -> None:
        self.milestones = table.milestones
        self._table = table
        self._models = {
            name: CurveModel(table.encoded, table.means[name], components)
            for name, components in _COMPONENTS.items()
        }

    def truth(self, encoded: Array) -> dict[str, Array]:
        """Score -> `(N, milestones)` without a seed's luck."""
        return {name: backward(name, m.predict(encoded)) for name, m in self._models.items()}

    def draw(self, values: Mapping[str, Any], rng: np.random.Generator) -> Curve:
        """The curve of one training of a configuration."""
        encoded = np.array([encode(values)])
        deviation = int(rng.integers(len(self._table.deviations[OBJECTIVE])))
        mean = {name: model.predict(encoded)[0] for name, model in self._models.items()}
        row = int(rng.integers(len(self._table.seconds_per_image)))
        return Curve(
            {
                name: backward(name, curve + self._table.deviations[name][deviation])
                for name, curve in mean.items()
            },
            {name: float(backward(name, curve)[-1]) for name, curve in mean.items()},
            float(self._table.seconds_per_image[row]),
            float(self._table.evaluation_seconds[row]),
        )


@dataclass(frozen=True)
class Curve:
    """What one simulated training shows, milestone by milestone, and what is true of it."""

    scores: dict[str, Array]
    truth: dict[str, float]
    """At the end, without the luck of this training's seed."""
    seconds_per_image: float
    evaluation_seconds: float


def validate(table: Table) -> dict[str, dict[str, float]]:
    """Error at the end of training on configurations that were left out, over ten folds.

    `seed_rmse` is what remains with a perfect model: the deviation of one training from its
    configuration's mean.
    """
    found = {}
    for name, components in _COMPONENTS.items():
        truth, predicted = table.means[name], np.empty_like(table.means[name])
        for train, test in KFold(_FOLDS, shuffle=True, random_state=0).split(truth):
            model = CurveModel(table.encoded[train], truth[train], components)
            predicted[test] = model.predict(table.encoded[test])
        error = backward(name, predicted) - backward(name, truth)
        seed = table.deviations[name]
        centre = truth[:, -1].mean()
        spread = backward(name, centre + seed[:, -1]) - backward(name, np.array(centre))
        found[name] = {
            "rmse": float(np.sqrt((error[:, -1] ** 2).mean())),
            "r2": float(1 - (error[:, -1] ** 2).mean() / backward(name, truth)[:, -1].var()),
            "spearman": float(spearmanr(truth[:, -1], predicted[:, -1]).statistic),
            "seed_rmse": float(np.sqrt((spread**2).mean())),
        }
    return found
