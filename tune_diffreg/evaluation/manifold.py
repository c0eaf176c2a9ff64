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
        distance = torch.cdist(
            real[start : start + _BLOCK], generated, compute_mode="donot_use_mm_for_euclid_dist"
        )
        inside = distance <= real_radii[start : start + _BLOCK, None]
        hits += inside.sum(dim=0)
        covered.append(inside.any(dim=1))
        recalled.append((distance <= generated_radii).any(dim=1))
    return Manifold(
        precision=float((hits > 0).double().mean()),
        recall=float(torch.cat(recalled).double().mean()),
        density=float(hits.double().mean() / NEIGHBORS),
        coverage=float(torch.cat(covered).double().mean()),
    )
