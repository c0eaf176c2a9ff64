"""A set of images without those that are in it before, pixel for pixel."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

from tune_diffreg.images import Images

_AT_ONCE = 1024


def distinct(images: Images) -> torch.Tensor:
    """Numbers of the images, or vectors, that no earlier one is equal to, `(K,)`, in order."""
    first = dict[bytes, int]()
    for start in range(0, len(images), _AT_ONCE):
        for place, image in enumerate(images[start : start + _AT_ONCE].contiguous(), start):
            key = hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()
            first.setdefault(key, place)
    return torch.tensor(list(first.values()))


def only(images: Images, numbers: torch.Tensor) -> Images:
    """The images of these numbers, which are in order; itself where these are all."""
    return images if len(numbers) == len(images) else _Some(images, numbers)


class _Some:
    """Some images of a set, which stays where it is: it may be larger than memory."""

    def __init__(self, images: Images, numbers: torch.Tensor) -> None:
        self._images = images
        self._numbers = numbers

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self._numbers), *self._images.shape[1:]))

    @property
    def nbytes(self) -> int:
        return self._images.nbytes // len(self._images) * len(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: Any) -> torch.Tensor:
        return self._images[self._numbers[index]]
