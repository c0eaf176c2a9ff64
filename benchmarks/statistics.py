"""The middle of several runs and how sure it is."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_RESAMPLES = 2000


def paired_ratio(turns: Sequence[float], peers: Sequence[float]) -> float:
    """The middle of the ratios of neighbouring turns, which share a machine's bad minute."""
    return float(np.median([a / b for a, b in zip(turns, peers, strict=True)]))


def iqm(values: npt.ArrayLike) -> float:
    """Interquartile mean; infinite where more than a quarter of the values are."""
    ordered = np.sort(np.asarray(values, float))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def interval(values: npt.ArrayLike, seed: int = 0) -> tuple[float, float]:
    """Bootstrap 95 % interval of the interquartile mean."""
    known = np.asarray(values, float)
    draws = np.random.default_rng(seed).integers(len(known), size=(_RESAMPLES, len(known)))
    middles = [iqm(known[draw]) for draw in draws]
    low, high = np.quantile(middles, [0.025, 0.975], method="nearest")
    return float(low), float(high)
