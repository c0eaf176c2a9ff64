"""The training images of a study, and how near to them generated images come."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch

from tune_diffreg.evaluation import memorization
from tune_diffreg.evaluation.distinct import distinct, only
from tune_diffreg.evaluation.neighbors import Neighbors, Targets, fitting
from tune_diffreg.images import Images
from tune_diffreg.seeds import generator

_HELDOUT_A_CELL, _TRAIN_A_CELL, _MOST_CELLS = 50, 5, 20
"""Held-out and training images that a cell of C_T has on average, at least."""
_LLOYD_STEPS = 20
_CLUSTERED = 10_000
_CLUSTERED_BYTES = 2**30
"""That the clustered vectors may take: of large images fewer are."""


@dataclass(frozen=True)
class Heldout:
    """What is computed of held-out images, once a study.

    Attributes:
        distance, target: of the two nearest training images of each, `(V, 2)`.
        cells: the cell of image space that each distinct training image is in, `(K,)`.
        distinct: numbers of the training images that are no earlier one over again, `(K,)`. Only
            these are looked at: the second of a pair would stand as near to a copy as the first,
            and so hide it. Targets are places among them.
    """

    distance: torch.Tensor
    target: torch.Tensor
    cells: torch.Tensor
    distinct: torch.Tensor

    @classmethod
    def of(
        cls, train: Images, heldout: torch.Tensor, numbers: torch.Tensor | None = None
    ) -> Heldout:
        """Of vectors or images `(M, ...)` and `(V, ...)`, of either at least 2 that differ.

        Args:
            numbers: of the distinct ones in `train`, where it is features of images; found in
                `train` if left out.
        """
        if numbers is None:
            numbers = distinct(train)
        train = only(train, numbers)
        found = Targets(train).nearest(heldout, 2)
        cells = min(len(heldout) // _HELDOUT_A_CELL, len(train) // _TRAIN_A_CELL, _MOST_CELLS)
        return cls(found.distance, found.target, _cells(train, max(1, cells)), numbers)

    @property
    def neighbors(self) -> Neighbors:
        return Neighbors(self.distance, self.target)


class Copies:
    """Tells copies of training images from images of one's own making.

    Args:
        train: the training images or their features, `(M, ...)`.
        heldout: of the same.
    """

    def __init__(self, train: Images, heldout: Heldout) -> None:
        self._train = only(train, heldout.distinct)
        self._heldout = heldout
        self._targets = Targets(self._train)
        self._spacing = torch.full((len(self._train),), math.nan, dtype=torch.float64)
        self._doubles = len(train) - len(heldout.distinct)

    def to(self, device: torch.device) -> None:
        """Finds neighbours on `device` from now on."""
        self._targets = Targets(self._train, device)

    @cached_property
    def heldout_scores(self) -> Mapping[str, float]:
        """What real images that were not trained on score: what chance alone gives."""
        found = self._heldout.neighbors
        return {
            "heldout_memorized_fraction": memorization.memorized_fraction(found),
            "heldout_authentic_fraction": self._authentic_fraction(found),
        }

    @property
    def doubles(self) -> int:
        """Training images that are an earlier one over again, which is looked at instead."""
        return self._doubles

    @property
    def near_copies(self) -> int:
        """Held-out images that would count as copies of a training image."""
        return _copies(self._heldout.neighbors)

    def nearest(self, generated: torch.Tensor) -> Neighbors:
        """The two nearest distinct training images of each, by their numbers in `train`."""
        found = self._targets.nearest(generated, 2)
        return found._replace(target=self._heldout.distinct[found.target])

    def score(self, generated: torch.Tensor) -> dict[str, float]:
        """The scores of generated images, or of their features, `(N, ...)`; NaN: cannot be told."""
        found, heldout = self._targets.nearest(generated, 2), self._heldout.neighbors
        return {
            "memorized_fraction": memorization.memorized_fraction(found),
            "authentic_fraction": self._authentic_fraction(found),
            **self.heldout_scores,
            "median_distance_ratio": memorization.median_distance_ratio(found, heldout),
            "mann_whitney_z": memorization.mann_whitney_z(found, heldout),
            "c_t": memorization.c_t(found, heldout, self._heldout.cells),
        }

    def _authentic_fraction(self, found: Neighbors) -> float:
        """How far apart training images are is found where it is asked for, and kept."""
        nearest = found.target[:, 0]
        missing = nearest[self._spacing[nearest].isnan()].unique()
        if len(missing):
            apart = self._targets.nearest(self._train[missing], 1, exclude=missing)
            self._spacing[missing] = apart.distance[:, 0]
        return memorization.authentic_fraction(found, self._spacing[nearest])


def near_copies(train: Images, heldout: torch.Tensor) -> int:
    """Held-out images `(V, ...)` that would count as copies of a training image `(M, ...)`."""
    return _copies(Targets(only(train, distinct(train))).nearest(heldout, 2))


def _copies(found: Neighbors) -> int:
    return int((memorization.distance_ratios(found) < memorization.COPY_RATIO).sum())


def _cells(vectors: Images, count: int) -> torch.Tensor:
    """Parts of image space by k-means, as the number of each vector's, `(M,)`."""
    if count == 1:
        return torch.zeros(len(vectors), dtype=torch.int64)
    from sklearn.cluster import KMeans

    at_most = min(_CLUSTERED, fitting(vectors, 8, _CLUSTERED_BYTES))
    some = torch.randperm(len(vectors), generator=generator(0, "cells"))[:at_most]
    rows = vectors[some].flatten(1).double()
    fitted = KMeans(count, n_init=1, max_iter=_LLOYD_STEPS, random_state=0).fit(rows.numpy())
    centers = Targets(torch.from_numpy(fitted.cluster_centers_))
    starts = range(0, len(vectors), at_most)
    blocks = (vectors[start : start + at_most].flatten(1) for start in starts)
    return torch.cat([centers.nearest(block, 1).target[:, 0] for block in blocks])
