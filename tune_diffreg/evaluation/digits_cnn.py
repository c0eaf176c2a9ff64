"""A small frozen classifier of handwritten digits, and its features before the last ReLU.

Its weights are made by `tools/train_digits_cnn.py` from 600 digits that enter no split. Features
before the ReLU keep full rank: after it, about a quarter of the 64 are always zero.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load
from torch import nn

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.sources import code_sha256

WEIGHTS = Path(__file__).with_name("digits_cnn.safetensors")
DIMENSIONS = 64
SHAPE = (1, 8, 8)


class DigitsCNN(nn.Module):
    """Two 3x3 convolutions at 8x8, one at 4x4, and a hidden layer; 10 logits."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(32, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(64 * 16, DIMENSIONS),
        )
        self.head = nn.Linear(DIMENSIONS, 10)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """`(N, 64)` before the ReLU, of images `(N, 1, 8, 8) uint8`."""
        pixels = images.to(self.head.weight.dtype) / 127.5 - 1
        return self.trunk(pixels)  # type: ignore[no-any-return]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).relu())  # type: ignore[no-any-return]


class DigitsFeatures:
    """The classifier as a feature extractor, run in float64 so that no batch size shows."""

    name = "digits_cnn"
    dtype = torch.float64

    def __init__(self) -> None:
        content = WEIGHTS.read_bytes()
        self.digest = hashlib.sha256(content).hexdigest()
        self.network = DigitsCNN()
        self.network.load_state_dict(load(content))
        self.network.double().eval()
        self.code = code_sha256(self.network)

    def to(self, device: torch.device) -> None:
        """Nothing: float64 is fast enough on the CPU, and equal on every machine."""

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Features `(N, 64)` of images `(N, 1, 8, 8) uint8`.

        Raises:
            InputError: the images are of another shape.
        """
        if images.shape[1:] != SHAPE:
            given = "x".join(map(str, images.shape[1:]))
            raise InputError(
                f"evaluation.features digits_cnn: takes digits of 1x8x8, but the images are {given}"
            )
        return torch.cat([self.network.features(batch) for batch in images.cpu().split(256)])
