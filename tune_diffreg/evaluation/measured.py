"""What is computed of real images, once a study, and which real images do not serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.copies import Heldout
from tune_diffreg.evaluation.distinct import distinct
from tune_diffreg.evaluation.features import FeatureExtractor
from tune_diffreg.evaluation.manifold import NEIGHBORS, radii
from tune_diffreg.images import Images

Space = Literal["pixels", "features"]
Progress = Callable[[int, int], None]
LEAST_IMAGES = NEIGHBORS + 1
"""Images that scores need, on either side."""
_AT_ONCE = 1024
"""A multiple of every extractor's batch, so that blocks do not show in the features."""


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
        heldout: Images,
        train: Images | None,
        extractor: FeatureExtractor,
        space: Space,
        progress: Progress | None = None,
    ) -> Measured:
        """Of real images `(V, C, H, W) uint8`, and of training images likewise.

        Args:
            space: what distances to training images are measured in.
            progress: called with (images that features are known of, images in all).

        Raises:
            InputError: there are too few images, or all are equal, or have no usable features.
        """
        _differing("held-out", heldout, LEAST_IMAGES)
        numbers = None if train is None else _differing("training", train, 2)
        also = len(train) if train is not None and space == "features" else 0
        said = _Said(progress, len(heldout) + also)
        features = said.features(extractor, heldout, "the held-out images")
        if bool((features == features[:1]).all()):
            raise InputError(
                f"evaluation.features {extractor.name}: the features of all held-out images are "
                "equal, so that they tell nothing apart"
            )
        around = radii(features)
        if train is None:
            return cls(features, around, None, None)
        if space == "pixels":
            return cls(features, around, None, Heldout.of(train, heldout[:], numbers))
        known = said.features(extractor, train, "the training images")
        return cls(features, around, known, Heldout.of(known, features, numbers))


def usable(features: torch.Tensor, images: int, name: str, of: str) -> torch.Tensor:
    """The features, if they are a vector of numbers for each of so many images.

    Args:
        name: the extractor's, for errors.
        of: whose they are, for errors.

    Raises:
        InputError: they are not.
    """
    rows, numbers = features.shape
    if rows != images or numbers < 1 or features.is_complex():
        kind = "complex numbers" if features.is_complex() else "numbers"
        raise InputError(
            f"evaluation.features {name}: for {images} images the network returns {rows} vectors "
            f"of {numbers} {kind}; an extractor returns one vector of real numbers an image"
        )
    bad = int((~features.isfinite().all(dim=1)).sum())
    if bad:
        raise InputError(f"the features of {bad} of {of} are not finite numbers")
    return features


def _differing(name: str, images: Images, least: int) -> torch.Tensor:
    """Numbers of the distinct ones.

    Raises:
        InputError: there are too few images, or all are equal.
    """
    if len(images) < least:
        raise InputError(f"data: scores need {least} {name} images; there are {len(images)}")
    numbers = distinct(images)
    if len(numbers) < 2:
        raise InputError(f"data: all {len(images)} {name} images are equal")
    return numbers


class _Said:
    """Features block by block, so that one sees how far it is: on a CPU they may take an hour."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._done, self._total = 0, total

    def features(self, extractor: FeatureExtractor, images: Images, of: str) -> torch.Tensor:
        found = []
        for start in range(0, len(images), _AT_ONCE):
            block = images[start : start + _AT_ONCE]
            found.append(extractor(block))
            self._done += len(block)
            if self._progress is not None:
                self._progress(self._done, self._total)
        return usable(torch.cat(found), len(images), extractor.name, of)
