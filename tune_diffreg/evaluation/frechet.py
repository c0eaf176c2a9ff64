"""The Fréchet distance of two Gaussians, in float64 throughout (Heusel et al. 2017, equation 6).

The trace of the root of the covariances' product is the sum of the roots of the eigenvalues of a
symmetric matrix. No root of a product that is not symmetric is ever taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch

from tune_diffreg.seeds import generator
from tune_diffreg.study.scores import EXTRAPOLATED_FROM

_GROUPS = 10
"""For a standard error, as many times a tenth of the samples is left out."""
_SIZES = 15
"""Sample sizes of an extrapolation (Chong & Forsyth 2020, section 4)."""


@dataclass(frozen=True)
class GaussianStatistics:
    """Mean and unbiased covariance of features, mergeable: the split into batches does not show.

    Attributes:
        count: of features, at least 2.
        mean: `(D,) float64`.
        scatter: sum of outer products of the centred features, `(D, D) float64`.
    """

    count: int
    mean: torch.Tensor
    scatter: torch.Tensor

    @classmethod
    def of(cls, features: torch.Tensor) -> GaussianStatistics:
        """Statistics of `(N, D)` features."""
        features = features.double()
        mean = features.mean(dim=0)
        centred = features - mean
        return cls(len(features), mean, centred.T @ centred)

    def __add__(self, other: GaussianStatistics) -> GaussianStatistics:
        """Of both sets together (Chan et al. 1979)."""
        count = self.count + other.count
        apart = other.mean - self.mean
        between = torch.outer(apart, apart) * (self.count * other.count / count)
        return GaussianStatistics(
            count,
            self.mean + apart * (other.count / count),
            self.scatter + other.scatter + between,
        )

    @property
    def covariance(self) -> torch.Tensor:
        return self.scatter / (self.count - 1)

    @cached_property
    def root(self) -> torch.Tensor:
        """Rows R, as many as the rank, such that the covariance is Rᵀ R."""
        values, vectors = torch.linalg.eigh(self.covariance)
        kept = values > _noise(values)
        rows: torch.Tensor = (vectors[:, kept] * values[kept].sqrt()).T.contiguous()
        return rows


def frechet_distance(reference: GaussianStatistics, features: torch.Tensor) -> float:
    """Distance of `(N, D)` features to the reference; 0 for equal statistics.

    Where there are fewer samples than dimensions, through the N x N Gram matrix of Y Rᵀ, Y the
    centred samples and R the reference's root: no matrix of D x D is made.
    """
    features = features.double()
    if len(features) >= features.shape[1]:
        return frechet_distance_of_statistics(reference, GaussianStatistics.of(features))
    mean = features.mean(dim=0)
    centred = (features - mean) / (len(features) - 1) ** 0.5
    rows = centred @ reference.root.T
    return _distance(reference, mean, centred.square().sum(), rows @ rows.T)


def frechet_distance_of_statistics(
    reference: GaussianStatistics, statistics: GaussianStatistics
) -> float:
    """The same from statistics, which may have been gathered batch by batch."""
    covariance = statistics.covariance
    product = reference.root @ covariance @ reference.root.T
    return _distance(reference, statistics.mean, covariance.trace(), product)


def frechet_standard_error(reference: GaussianStatistics, features: torch.Tensor) -> float:
    """How far chance in the choice of samples moves the distance: one standard deviation.

    A jackknife that leaves out groups (Efron & Tibshirani 1993, chapter 11). Training once more
    with another seed moves it further.
    """
    groups = min(_GROUPS, len(features) // 2)
    if groups < 2:
        return math.nan
    left = torch.tensor([frechet_distance(reference, rest) for rest in _without(features, groups)])
    return math.sqrt((groups - 1) * left.double().var(correction=0).item())


def frechet_at_infinity(reference: GaussianStatistics, features: torch.Tensor) -> float:
    """The distance that infinitely many samples would have (Chong & Forsyth 2020).

    The distance of random subsets is extrapolated linearly in 1/N. The bias that the reference's
    own number of images brings remains.

    Raises:
        ValueError: there are fewer than `EXTRAPOLATED_FROM` features.
    """
    count = len(features)
    if count < EXTRAPOLATED_FROM:
        raise ValueError(f"{count} samples are too few to extrapolate from")
    sizes = torch.linspace(count / 10, count, _SIZES).long()
    draw = generator(0, "subsets of an extrapolation")
    distances = [
        frechet_distance(reference, features[torch.randperm(count, generator=draw)[:size]])
        for size in sizes
    ]
    inverse = 1 / sizes.double()
    design = torch.stack([torch.ones_like(inverse), inverse], dim=1)
    line = torch.linalg.lstsq(design, torch.tensor(distances, dtype=torch.float64)[:, None])
    return float(line.solution[0, 0])


def _distance(
    reference: GaussianStatistics, mean: torch.Tensor, trace: torch.Tensor, product: torch.Tensor
) -> float:
    """Of `product`, symmetric, with the eigenvalues of the covariances' product."""
    values = torch.linalg.eigvalsh(product)
    root_trace = values[values > _noise(values)].sqrt().sum()
    apart = (mean - reference.mean).square().sum()
    distance = float(apart + reference.covariance.trace() + trace - 2 * root_trace)
    return max(distance, 0.0)  # rounding takes that of equal statistics below it


def _noise(values: torch.Tensor) -> torch.Tensor:
    """Below it an eigenvalue of a semidefinite matrix is rounding error."""
    return values.abs().max() * len(values) * torch.finfo(values.dtype).eps


def _without(features: torch.Tensor, groups: int) -> Iterator[torch.Tensor]:
    """The features without each group in turn; every so manieth belongs to one group."""
    group = torch.arange(len(features)) % groups
    yield from (features[group != left_out] for left_out in range(groups))
