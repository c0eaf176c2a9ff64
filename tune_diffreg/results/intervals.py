"""Means with intervals: what a few repetitions can say of the next one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean and its t-interval; the ends are None from one value."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
        mean = fmean(values)
        if len(values) < 2:
            return cls(mean, None, None)
        from scipy import stats  # takes a second to import

        t = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1))
        reach = t * stdev(values) / math.sqrt(len(values))
        return cls(mean, mean - reach, mean + reach)

    def within(self, limits: tuple[float, float]) -> Interval:
        """The part of it that the quantity can reach: a fraction is not below 0."""
        if self.low is None or self.high is None:
            return self
        return Interval(self.mean, max(self.low, limits[0]), min(self.high, limits[1]))

    @property
    def below_zero(self) -> bool:
        return self.high is not None and self.high < 0

    @property
    def holds_zero(self) -> bool:
        """Whether it may be nothing; also where nobody can tell."""
        if self.low is None or self.high is None:
            return True
        return self.low <= 0 <= self.high


def familywise(comparisons: int) -> float:
    """The confidence of each of several intervals that are to hold together with 95 %.

    Bonferroni's inequality, as Dunn uses it (Multiple comparisons among means, JASA 1961).
    """
    return 1 - (1 - CONFIDENCE) / max(1, comparisons)
