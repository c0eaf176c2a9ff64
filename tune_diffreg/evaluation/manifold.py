"""Precision, recall, density and coverage: quality and variety apart, by balls about features.

Precision and recall after Kynkäänniemi et al. 2019; density and coverage after Naeem et al. 2020,
which one outlier among the real images does not mislead.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from tune_diffreg.evaluation.neighbors import Targets

NEIGHBORS = 5
"""The neighbour whose distance is a ball's radius (Naeem et al. 2020, section 5)."""
_BLOCK = 1024
_BYTES = 2**26
"""That exact differences may take at a time."""
_UNSURE = 1e-9
"""Of the squared lengths, far above the rounding of products in float64: a pair whose distance is
that near to a radius is looked at again."""


class Manifold(NamedTuple):
    """More is better, 1 is what real images have (density may exceed it)."""

    precision: float
    recall: float
    density: float
    coverage: float


def radii(features: torch.Tensor) -> torch.Tensor:
    """Distance of each of `(N, D)` features to its 5th nearest other, `(N,) float64`."""
    itself = torch.arange(len(features))
    return Targets(features).nearest(features, NEIGHBORS, exclude=itself).distance[:, -1]


def manifold_scores(
    real: torch.Tensor, real_radii: torch.Tensor, generated: torch.Tensor
) -> Manifold:
    """All four of generated features `(N, D)` against real ones `(M, D)`, both more than 5.

    Args:
        real_radii: `radii(real)`.
    """
    generated_radii = radii(generated)
    real, generated = real.double(), generated.double()
    hits = torch.zeros(len(generated))  # real balls that each generated image lies in
    recalled, covered = [], []
    for start in range(0, len(real), _BLOCK):
        block = real[start : start + _BLOCK]
        pairs = _Pairs(block, generated)
        inside = pairs.within(real_radii[start : start + _BLOCK, None])
        hits += inside.sum(dim=0)
        covered.append(inside.any(dim=1))
        recalled.append(pairs.within(generated_radii[None]).any(dim=1))
    return Manifold(
        precision=float((hits > 0).double().mean()),
        recall=float(torch.cat(recalled).double().mean()),
        density=float(hits.double().mean() / NEIGHBORS),
        coverage=float(torch.cat(covered).double().mean()),
    )


class _Pairs:
    """The distances of all pairs of real `(B, D)` and generated `(N, D)` features, in float64.

    By products, which are much faster than differences; these settle what is close.
    """

    def __init__(self, real: torch.Tensor, generated: torch.Tensor) -> None:
        self._real, self._generated = real, generated
        middle = generated.mean(dim=0)  # fewer digits are lost about it
        a, b = real - middle, generated - middle
        lengths = a.square().sum(dim=1)[:, None] + b.square().sum(dim=1)
        self._squared = lengths - 2 * a @ b.T
        self._unsure = _UNSURE * lengths

    def within(self, reach: torch.Tensor) -> torch.Tensor:
        """Which pairs are no further apart than `reach`, `(B, 1)` or `(1, N)`, as `(B, N)`."""
        apart = self._squared - reach.square()
        inside = apart <= 0
        close = (apart.abs() <= self._unsure).nonzero()
        reach = reach.expand_as(inside)
        at_once = max(1, _BYTES // (8 * self._real.shape[1]))
        for some in close.split(at_once):
            i, j = some.unbind(dim=1)
            exact = torch.linalg.vector_norm(self._real[i] - self._generated[j], dim=1)
            inside[i, j] = exact <= reach[i, j]
        return inside
