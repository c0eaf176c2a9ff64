"""What the images of every trial of a study are held against."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation import memorization
from tune_diffreg.evaluation.features import FeatureExtractor
from tune_diffreg.evaluation.frechet import (
    EXTRAPOLATED_FROM,
    GaussianStatistics,
    frechet_at_infinity,
    frechet_distance,
    frechet_standard_error,
)
from tune_diffreg.evaluation.kernel import kernel_distance
from tune_diffreg.evaluation.manifold import NEIGHBORS, manifold_scores, radii
from tune_diffreg.evaluation.neighbors import Neighbors, Targets
from tune_diffreg.images import Images
from tune_diffreg.seeds import generator
from tune_diffreg.study import scores

Space = Literal["pixels", "features"]
_LEAST = NEIGHBORS + 1
_FLOOR_DRAWS = 4
_IMAGES_A_CELL, _TRAIN_A_CELL, _MOST_CELLS = 50, 5, 20
"""Held-out and training images that a cell of C_T has at least, on average."""
_LLOYD_STEPS = 20


@dataclass(frozen=True)
class Measured:
    """What is computed of the real images, once a study.

    Attributes:
        features: of the held-out images, `(V, D)`.
        radii: of the balls about them, `(V,)`.
        heldout_distance, heldout_target: the two nearest training images of each, `(V, 2)`.
        cells: the cell of image space that each training image is in, `(M,)`.
        train_features: `(M, D)` where neighbours are found in features, else `(0, D)`.
    """

    features: torch.Tensor
    radii: torch.Tensor
    heldout_distance: torch.Tensor
    heldout_target: torch.Tensor
    cells: torch.Tensor
    train_features: torch.Tensor


class Reference:
    """Real images under one extractor, and the training images; trials only read it.

    Args:
        train: `(M, C, H, W) uint8`.
        extractor: that `measured` was computed with.
    """

    def __init__(self, train: Images, extractor: FeatureExtractor, measured: Measured) -> None:
        self.train = train
        self.extractor = extractor
        self.measured = measured
        self._device = torch.device("cpu")
        self._spacing = torch.full((len(train),), math.nan, dtype=torch.float64)
        _ = self.statistics.root  # computed here, not in every trial

    @classmethod
    def of(
        cls,
        train: Images,
        heldout: torch.Tensor,
        extractor: FeatureExtractor,
        space: Space = "pixels",
    ) -> Reference:
        """The reference of the real `heldout` images, `(V, C, H, W) uint8`.

        Args:
            space: what distances to training images are measured in.

        Raises:
            InputError: a split is too small to be a reference, or all its images are equal.
        """
        if len(heldout) < _LEAST or len(train) < 2:
            raise InputError(
                f"data: a reference needs at least {_LEAST} held-out images and 2 training images; "
                f"there are {len(heldout)} and {len(train)}"
            )
        for name, images in (("held-out", heldout), ("training", train[: len(train)])):
            if len(images) > 1 and bool((images == images[:1]).all()):
                raise InputError(f"data: all {len(images)} {name} images are equal")
        features = usable(extractor(heldout), "the held-out images")
        in_features = space == "features"
        train_features = extractor(train[:]) if in_features else features[:0]
        targets: Images = train_features if in_features else train
        found = Targets(targets).nearest(features if in_features else heldout, 2)
        measured = Measured(
            features,
            radii(features),
            found.distance,
            found.target,
            _cells(targets, min(len(heldout) // _IMAGES_A_CELL, len(train) // _TRAIN_A_CELL)),
            train_features,
        )
        return cls(train, extractor, measured)

    def to(self, device: torch.device) -> None:
        """Computes features and neighbours on `device` from now on."""
        self._device = device
        self.extractor.to(device)
        self.__dict__.pop("targets", None)

    @cached_property
    def statistics(self) -> GaussianStatistics:
        return GaussianStatistics.of(self.measured.features)

    @cached_property
    def targets(self) -> Targets:
        in_features = len(self.measured.train_features) > 0
        return Targets(self.measured.train_features if in_features else self.train, self._device)

    @property
    def heldout(self) -> Neighbors:
        """The training images nearest to held-out ones."""
        return Neighbors(self.measured.heldout_distance, self.measured.heldout_target)

    @cached_property
    def heldout_scores(self) -> Mapping[str, float]:
        """What real images that were not trained on score: what chance alone gives."""
        return {
            "heldout_memorized_fraction": memorization.memorized_fraction(self.heldout),
            "heldout_authentic_fraction": self._authentic_fraction(self.heldout),
        }

    @property
    def near_copies(self) -> int:
        """Held-out images that would count as copies of a training image."""
        return int((memorization.distance_ratios(self.heldout) < memorization.COPY_RATIO).sum())

    def score(self, images: torch.Tensor) -> dict[str, float]:
        """The scores of generated images `(N, C, H, W) uint8`; one that cannot be taken is absent.

        Raises:
            InputError: there are fewer images than scores need, or of another shape.
        """
        if len(images) < _LEAST:
            raise InputError(f"{len(images)} images are too few; scores need {_LEAST}")
        if images.shape[1:] != self.train.shape[1:]:
            given, needed = ("x".join(map(str, i.shape[1:])) for i in (images, self.train))
            raise InputError(f"the images are {given}, but those of the reference are {needed}")
        features = usable(self.extractor(images), "the images")
        in_features = len(self.measured.train_features) > 0
        found = self.targets.nearest(features if in_features else images, 2)
        measured = self.measured
        distance = scores.distance(self.extractor.name)
        kernel = scores.kernel_distance(self.extractor.name)
        mmd = kernel_distance(measured.features, features)
        taken = {
            distance: frechet_distance(self.statistics, features),
            f"{distance}_se": frechet_standard_error(self.statistics, features),
            kernel: mmd.value,
            f"{kernel}_se": mmd.standard_error,
            **manifold_scores(measured.features, measured.radii, features)._asdict(),
            "memorized_fraction": memorization.memorized_fraction(found),
            "authentic_fraction": self._authentic_fraction(found),
            **self.heldout_scores,
            "median_distance_ratio": memorization.median_distance_ratio(found, self.heldout),
            "mann_whitney_z": memorization.mann_whitney_z(found, self.heldout),
            "c_t": memorization.c_t(found, self.heldout, measured.cells),
        }
        if len(images) >= EXTRAPOLATED_FROM:
            taken[f"{distance}_infinity"] = frechet_at_infinity(self.statistics, features)
        return {name: score for name, score in taken.items() if math.isfinite(score)}

    def floor(self, samples: int) -> tuple[float, int]:
        """The Fréchet distance that real images have at so many samples: what perfection scores.

        Held-out images against the rest of them.

        Returns:
            The distance, a mean over random draws, and the number of images it was taken with:
            `samples`, or half of the held-out images where there are not twice as many.
        """
        features = self.measured.features
        count = min(samples, len(features) // 2)
        draw = generator(0, "floor")
        orders = [torch.randperm(len(features), generator=draw) for _ in range(_FLOOR_DRAWS)]
        distances = [
            frechet_distance(
                GaussianStatistics.of(features[order[count:]]), features[order[:count]]
            )
            for order in orders
        ]
        return sum(distances) / len(distances), count

    def _authentic_fraction(self, found: Neighbors) -> float:
        """How far apart training images are is found when it is asked for, and kept."""
        nearest = found.target[:, 0]
        missing = nearest[self._spacing[nearest].isnan()].unique()
        if len(missing):
            vectors: Images = self.train
            if len(self.measured.train_features):
                vectors = self.measured.train_features
            apart = self.targets.nearest(vectors[missing], 1, exclude=missing)
            self._spacing[missing] = apart.distance[:, 0]
        return memorization.authentic_fraction(found, self._spacing[nearest])


def usable(features: torch.Tensor, of: str) -> torch.Tensor:
    """The features, if they are numbers.

    Raises:
        InputError: some are not.
    """
    bad = int((~features.isfinite().all(dim=1)).sum())
    if bad:
        raise InputError(f"the features of {bad} of {of} are not finite numbers")
    return features


def _cells(vectors: Images, count: int) -> torch.Tensor:
    """Parts of image space by k-means, as the number of each vector's, `(M,)`."""
    count = max(1, min(count, _MOST_CELLS))
    if count == 1:
        return torch.zeros(len(vectors), dtype=torch.int64)
    from sklearn.cluster import KMeans

    some = torch.randperm(len(vectors), generator=generator(0, "cells"))[:10_000]
    rows = vectors[some].flatten(1).double()
    fitted = KMeans(count, n_init=1, max_iter=_LLOYD_STEPS, random_state=0).fit(rows.numpy())
    centers = Targets(torch.from_numpy(fitted.cluster_centers_))
    blocks = (vectors[i : i + 4096] for i in range(0, len(vectors), 4096))
    return torch.cat([centers.nearest(block.flatten(1), 1).target[:, 0] for block in blocks])
