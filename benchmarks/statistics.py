"""The middle of several runs and how sure it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

_RESAMPLES = 2000


def paired_ratios(turns: Sequence[float], peers: Sequence[float]) -> list[float]:
    """The ratios of neighbouring turns, which share a machine's bad minute."""
    return [a / b for a, b in zip(turns, peers, strict=True)]


def median(values: npt.ArrayLike) -> float:
    """The middle of several values."""
    return float(np.median(np.asarray(values, float)))


def iqm(values: npt.ArrayLike) -> float:
    """Interquartile mean; infinite where more than a quarter of the values are."""
    ordered = np.sort(np.asarray(values, float))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def interval(
    values: npt.ArrayLike, middle: Callable[[npt.ArrayLike], float] = iqm, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap 95 % interval of the middle."""
    known = np.asarray(values, float)
    draws = np.random.default_rng(seed).integers(len(known), size=(_RESAMPLES, len(known)))
    middles = [middle(known[draw]) for draw in draws]
    low, high = np.quantile(middles, [0.025, 0.975], method="nearest")
    return float(low), float(high)
