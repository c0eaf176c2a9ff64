"""Feature extractors: images in, one vector an image out."""

from __future__ import annotations

import hashlib
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.sources import add_code
from tune_diffreg.factory import call_factory, in_a_line
from tune_diffreg.files import user_path
from tune_diffreg.hashing import add_tensors
from tune_diffreg.study import Evaluation, Extractor

_BATCH = 256


class FeatureExtractor(Protocol):
    """What a Fréchet distance is measured with; prepares images itself.

    Attributes:
        name: part of the name of every score that it serves.
        digest: SHA-256 of the weights, or of the definition where there are none.
        code: what prepares images and computes, as a hash or version; empty where `digest` is of
            that too.
        dtype: of its features.
    """

    name: str
    digest: str
    code: str
    dtype: torch.dtype

    def to(self, device: torch.device) -> None:
        """Moves the network, where that helps."""
        ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Features `(N, D)` on the CPU, of images `(N, C, H, W) uint8`."""
        ...


class PixelFeatures:
    """The image itself, averaged down to 8x8: for sets that no trained extractor suits."""

    name = "pixels"
    dtype = torch.float64
    _side = 8
    digest = hashlib.sha256(b"area average to 8x8, [0, 1]").hexdigest()
    code = ""

    def to(self, device: torch.device) -> None:
        """Nothing: averaging is fast anywhere."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        pixels = images.cpu().double() / 255
        return F.adaptive_avg_pool2d(pixels, self._side).flatten(1)


class OwnFeatures:
    """A network of one's own: images `(N, C, H, W) uint8` to features `(N, D)`.

    Args:
        factory: `package.module:function`, called without arguments.

    Raises:
        InputError: it cannot be imported, fails, or returns no module.
    """

    code = ""

    def __init__(self, factory: str) -> None:
        self._factory = factory
        self.name = factory.split(":")[1]
        network = call_factory("evaluation.features", factory, {})
        if not isinstance(network, nn.Module):
            raise InputError(
                f"evaluation.features {factory} returned {type(network).__name__}, not a "
                "torch.nn.Module"
            )
        self._network = network.eval().requires_grad_(False)
        self.dtype = next((p.dtype for p in network.parameters()), torch.float32)
        self.digest = _digest(network, factory)
        self._device = torch.device("cpu")

    def to(self, device: torch.device) -> None:
        """Moves the network."""
        self._device = device
        self._network.to(device)

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        try:
            features = torch.cat(
                [self._network(batch.to(self._device)).cpu() for batch in images.split(_BATCH)]
            )
        except Exception as error:
            raise InputError(
                f"evaluation.features {self._factory}: the network cannot be called with images "
                f"{tuple(images.shape)} uint8: {in_a_line(error)}"
            ) from None
        if features.ndim != 2:
            raise InputError(
                f"evaluation.features {self._factory}: for images {tuple(images.shape)} the "
                f"network returns {tuple(features.shape)}; an extractor returns one vector an "
                "image"
            )
        return features


def load_extractor(evaluation: Evaluation) -> FeatureExtractor:
    """The extractor that a study names, on the CPU.

    Raises:
        InputError: its weights are absent or not the right ones, or its factory does not serve.
    """
    features = evaluation.features
    if features == "pixels":
        return PixelFeatures()
    if features == "digits_cnn":
        from tune_diffreg.evaluation.digits_cnn import DigitsFeatures

        return DigitsFeatures()
    if isinstance(features, Extractor):
        return OwnFeatures(features.factory)
    from tune_diffreg.evaluation.pretrained import PretrainedFeatures

    weights = user_path(evaluation.weights) if evaluation.weights else None
    return PretrainedFeatures(features, weights)


def _digest(network: nn.Module, factory: str) -> str:
    """Of the weights, of the text that the network prints as, and of the code that it runs."""
    sha = hashlib.sha256(repr(network).encode())
    add_code(sha, network, factory.split(":", maxsplit=1)[0])
    add_tensors(sha, network.state_dict().items())
    return sha.hexdigest()
