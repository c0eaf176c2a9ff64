"""What the images of every trial of a study are held against."""

from __future__ import annotations

import math
from functools import cached_property

import torch

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.copies import Copies
from tune_diffreg.evaluation.features import FeatureExtractor
from tune_diffreg.evaluation.floor import Floor, floor_of
from tune_diffreg.evaluation.frechet import GaussianStatistics, frechet_estimate
from tune_diffreg.evaluation.kernel import kernel_distance, within
from tune_diffreg.evaluation.manifold import manifold_scores
from tune_diffreg.evaluation.measured import LEAST_IMAGES, Measured, usable
from tune_diffreg.evaluation.neighbors import Neighbors
from tune_diffreg.images import Images
from tune_diffreg.study import scores


class Reference:
    """Real images under one extractor, and the training images; trials only read it.

    Args:
        shape: of an image, `(C, H, W)`.
        train: `(M, C, H, W) uint8`; None where copies are not looked for.
        extractor: that `measured` was computed with.
    """

    def __init__(
        self,
        shape: torch.Size,
        train: Images | None,
        extractor: FeatureExtractor,
        measured: Measured,
    ) -> None:
        self.extractor = extractor
        self.measured = measured
        self._shape = shape
        self.copies: Copies | None = None
        if measured.heldout is not None:
            known = train if measured.train_features is None else measured.train_features
            assert known is not None
            self.copies = Copies(known, measured.heldout)
        # Computed here, not in every trial.
        _ = self.statistics.root
        self._within = within(measured.features)

    def to(self, device: torch.device) -> None:
        """Computes features and neighbours on `device` from now on."""
        self.extractor.to(device)
        if self.copies is not None:
            self.copies.to(device)

    @cached_property
    def statistics(self) -> GaussianStatistics:
        return GaussianStatistics.of(self.measured.features)

    def score(self, images: torch.Tensor) -> dict[str, float]:
        """The scores of generated images `(N, C, H, W) uint8`; one that cannot be taken is absent.

        Raises:
            InputError: there are fewer images than scores need, or of another shape.
        """
        if len(images) < LEAST_IMAGES:
            raise InputError(f"{len(images)} images are too few; scores need {LEAST_IMAGES}")
        if images.shape[1:] != self._shape:
            given, needed = ("x".join(map(str, shape)) for shape in (images.shape[1:], self._shape))
            raise InputError(f"the images are {given}, but those of the reference are {needed}")
        return self.score_with(images, self.features(images))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Of `(N, C, H, W) uint8`, `(N, D)`.

        Raises:
            InputError: they are not usable.
        """
        name = self.extractor.name
        return usable(self.extractor(images), len(images), name, "the images")

    def score_with(self, images: torch.Tensor, features: torch.Tensor) -> dict[str, float]:
        """The same as `score`, of images whose features are known."""
        taken = {**self._likeness(features)}
        if self.copies is not None:
            in_features = self.measured.train_features is not None
            taken |= self.copies.score(features if in_features else images)
        return {name: score for name, score in taken.items() if math.isfinite(score)}

    def nearest(self, images: torch.Tensor) -> Neighbors:
        """The two nearest training images of each of `images`, where there are training images."""
        assert self.copies is not None
        in_features = self.measured.train_features is not None
        return self.copies.nearest(self.extractor(images) if in_features else images)

    def floor(self, samples: int) -> Floor:
        """The Fréchet distance that real images have at so many samples."""
        return floor_of(self.measured.features, samples)

    def _likeness(self, features: torch.Tensor) -> dict[str, float]:
        distance = scores.distance(self.extractor.name)
        kernel = scores.kernel_distance(self.extractor.name)
        measured = self.measured
        frechet = frechet_estimate(self.statistics, features)
        mmd = kernel_distance(measured.features, features, self._within)
        return {
            distance: frechet.value,
            f"{distance}_se": frechet.standard_error,
            scores.at_infinity(self.extractor.name): frechet.at_infinity,
            kernel: mmd.value,
            f"{kernel}_se": mmd.standard_error,
            **manifold_scores(measured.features, measured.radii, features)._asdict(),
        }
