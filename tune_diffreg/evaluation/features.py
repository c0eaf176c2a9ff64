"""Feature extractors: images in, one vector an image out."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F

from tune_diffreg.study import Evaluation


class FeatureExtractor(Protocol):
    """What a Fréchet distance is measured with."""

    name: str
    digest: str
    """SHA-256 of the weights, or of the definition where there are none."""

    def to(self, device: torch.device) -> None:
        """Moves the network, where that helps."""
        ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Features `(N, D) float64` on the CPU, of images `(N, C, H, W) uint8`."""
        ...


class PixelFeatures:
    """The image itself, averaged down to 8x8: for sets that no trained extractor suits."""

    name = "pixels"
    _side = 8
    digest = hashlib.sha256(b"area average to 8x8, [0, 1]").hexdigest()

    def to(self, device: torch.device) -> None:
        """Nothing: averaging is fast anywhere."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.cpu().double() / 255
        return F.adaptive_avg_pool2d(pixels, self._side).flatten(1)


def load_extractor(evaluation: Evaluation) -> FeatureExtractor:
    """The extractor that a study names, on the CPU.

    Raises:
        InputError: its weights are absent or not the right ones.
    """
    if evaluation.features == "pixels":
        return PixelFeatures()
    if evaluation.features == "digits_cnn":
        from tune_diffreg.evaluation.digits_cnn import DigitsFeatures

        return DigitsFeatures()
    from tune_diffreg.evaluation.inception import InceptionFeatures

    return InceptionFeatures(Path(evaluation.weights) if evaluation.weights else None)
