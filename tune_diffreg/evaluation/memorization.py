"""Are images copies of training images? Statistics of their nearest neighbours.

Each is told beside the same of real images that were not trained on: what chance alone gives.
"""

from __future__ import annotations

import math

import torch
from scipy import stats

from tune_diffreg.evaluation.neighbors import Neighbors

# Gu et al. 2023 (arXiv 2310.02664), after Yoon et al. 2023: an image is memorised if its nearest
# training image is less than a third as far as the second nearest.
COPY_RATIO = 1 / 3
_LEAST_IN_CELL = 5
"""Images of either set that a cell of C_T needs to have a say."""


def distance_ratios(neighbors: Neighbors) -> torch.Tensor:
    """Nearest over second-nearest distance, `(N,)`: 0 is an exact copy, near 1 none stands out."""
    first, second = neighbors.distance[:, 0], neighbors.distance[:, 1]
    # Two equal training images at distance 0: a copy all the same.
    return torch.where(second > 0, first / second, 0.0)


def memorized_fraction(neighbors: Neighbors) -> float:
    """The fraction of images whose distance ratio marks them as copies."""
    return float((distance_ratios(neighbors) < COPY_RATIO).double().mean())


def median_distance_ratio(generated: Neighbors, heldout: Neighbors) -> float:
    """Median distance to training of generated images over that of real ones; below 1: nearer."""
    real = heldout.distance[:, 0].median()
    return float(generated.distance[:, 0].median() / real) if real > 0 else math.nan


def mann_whitney_z(generated: Neighbors, heldout: Neighbors) -> float:
    """Mann-Whitney Z of distances to training; below 0 generated images are nearer than real ones.

    It is C_T with one cell. It sees interpolation, which the ratio does not.
    """
    return _z(generated.distance[:, 0], heldout.distance[:, 0])


def c_t(generated: Neighbors, heldout: Neighbors, cells: torch.Tensor) -> float:
    """C_T (Meehan et al. 2020): the Z of each part of image space, weighted by held-out images.

    Args:
        cells: the cell of each training image, `(M,)`; an image is in that of its nearest.

    Returns:
        NaN where no cell holds enough images of both sets.
    """
    in_cell = cells[generated.target[:, 0]], cells[heldout.target[:, 0]]
    weighted, weight = 0.0, 0
    for cell in cells.unique():
        a = generated.distance[in_cell[0] == cell, 0]
        b = heldout.distance[in_cell[1] == cell, 0]
        if min(len(a), len(b)) >= _LEAST_IN_CELL:
            weighted += len(b) * _z(a, b)
            weight += len(b)
    return weighted / weight if weight else math.nan


def authentic_fraction(neighbors: Neighbors, spacing: torch.Tensor) -> float:
    """The fraction of images no nearer to a training image than its own neighbour (AuthPct).

    Alaa et al. 2022, section 3.3: a copy is closer to its original than any other training image.

    Args:
        spacing: of the nearest training image of each image, the distance to the training image
            nearest to it, `(N,)`.
    """
    return float((neighbors.distance[:, 0] > spacing).double().mean())


def _z(a: torch.Tensor, b: torch.Tensor) -> float:
    """Standardised rank sum of `a` against `b`, ties taken into account; 0 where all are equal."""
    n, m = len(a), len(b)
    ranks = stats.rankdata(torch.cat([a, b]).numpy())
    u = ranks[:n].sum() - n * (n + 1) / 2
    # The variance of a rank sum over all divisions of these ranks, which is less with ties.
    variance = n * m / (n + m) * ranks.var(ddof=1)
    return float((u - n * m / 2) / math.sqrt(variance)) if variance > 0 else 0.0
