"""What the images of every trial of a study are held against."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.copies import Copies, Heldout
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
from tune_diffreg.evaluation.neighbors import Neighbors
from tune_diffreg.images import Images
from tune_diffreg.seeds import generator
from tune_diffreg.study import scores

Space = Literal["pixels", "features"]
LEAST_IMAGES = NEIGHBORS + 1
"""Images that scores need, on either side."""
_FLOOR_DRAWS = 4
_LOOKED_AT = 1000
"""Images of a set that are compared with its first, to notice that all are one."""


@dataclass(frozen=True)
class Measured:
    """What is computed of real images, once a study.

    Attributes:
        features: of the held-out images, `(V, D)`.
        radii: of the balls about them, `(V,)`.
        train_features: `(M, D)` where neighbours are found in features, else None.
        heldout: None where there are no training images.
    """

    features: torch.Tensor
    radii: torch.Tensor
    train_features: torch.Tensor | None
    heldout: Heldout | None

    @classmethod
    def of(
        cls,
        heldout: torch.Tensor,
        train: Images | None,
        extractor: FeatureExtractor,
        space: Space,
    ) -> Measured:
        """Of real images `(V, C, H, W) uint8`, and of training images likewise.

        Args:
            space: what distances to training images are measured in.

        Raises:
            InputError: there are too few images, or all are equal.
        """
        for name, images, least in (("held-out", heldout, LEAST_IMAGES), ("training", train, 2)):
            if images is None:
                continue
            if len(images) < least:
                raise InputError(
                    f"data: scores need {least} {name} images; there are {len(images)}"
                )
            some = images[:_LOOKED_AT]
            if bool((some == some[:1]).all()):
                raise InputError(f"data: all {len(images)} {name} images are equal")
        features = _usable(extractor(heldout), "the held-out images")
        if train is None:
            return cls(features, radii(features), None, None)
        if space == "pixels":
            return cls(features, radii(features), None, Heldout.of(train, heldout))
        known = _usable(extractor(train[:]), "the training images")
        return cls(features, radii(features), known, Heldout.of(known, features))


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
        _ = self.statistics.root  # computed here, not in every trial

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
        features = _usable(self.extractor(images), "the images")
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
        parts = [(features[order[count:]], features[order[:count]]) for order in orders]
        distances = [frechet_distance(GaussianStatistics.of(rest), part) for rest, part in parts]
        return sum(distances) / len(distances), count

    def _likeness(self, features: torch.Tensor) -> dict[str, float]:
        distance = scores.distance(self.extractor.name)
        kernel = scores.kernel_distance(self.extractor.name)
        measured = self.measured
        mmd = kernel_distance(measured.features, features)
        found = {
            distance: frechet_distance(self.statistics, features),
            f"{distance}_se": frechet_standard_error(self.statistics, features),
            kernel: mmd.value,
            f"{kernel}_se": mmd.standard_error,
            **manifold_scores(measured.features, measured.radii, features)._asdict(),
        }
        if len(features) >= EXTRAPOLATED_FROM:
            found[f"{distance}_infinity"] = frechet_at_infinity(self.statistics, features)
        return found


def _usable(features: torch.Tensor, of: str) -> torch.Tensor:
    """The features, if they are numbers.

    Raises:
        InputError: some are not.
    """
    bad = int((~features.isfinite().all(dim=1)).sum())
    if bad:
        raise InputError(f"the features of {bad} of {of} are not finite numbers")
    return features
