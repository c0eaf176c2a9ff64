"""Three disjoint splits of one set of images."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from tune_diffreg.data.mapped import MappedImages
from tune_diffreg.errors import InputError
from tune_diffreg.images import Images
from tune_diffreg.seeds import generator


@dataclass(frozen=True)
class Splits:
    """The images of a study, each `(N, C, H, W) uint8`; the search never sees `test`."""

    train: Images
    validation: Images
    test: Images

    @property
    def digest(self) -> str:
        """SHA-256 over the bytes of all three splits: equal data, equal digest."""
        sha = hashlib.sha256()
        for images in (self.train, self.validation, self.test):
            sha.update(str(tuple(images.shape)).encode())
            for block in in_blocks(images):
                sha.update(block.contiguous().numpy().tobytes())
        return sha.hexdigest()

    def duplicates(self) -> dict[str, int]:
        """How many images of each split are pixel for pixel in an earlier split or place.

        Copies across splits make memorisation look like generalisation; copies inside the
        training split hide it from the nearest-neighbour ratio.
        """
        seen = set[bytes]()
        counts: dict[str, int] = {}
        for name in ("train", "validation", "test"):
            keys = [
                hashlib.blake2b(image.numpy().tobytes(), digest_size=16).digest()
                for block in in_blocks(getattr(self, name))
                for image in block.contiguous()
            ]
            if name == "train":
                counts[name] = len(keys) - len(set(keys))
            else:
                counts[name] = sum(key in seen for key in keys)
            seen.update(keys)
        return counts


def in_blocks(images: Images, size: int = 1024) -> Iterator[torch.Tensor]:
    """The images in turn, `size` at a time, so that a mapped set is never in memory whole."""
    for start in range(0, len(images), size):
        yield images[start : start + size]


def cut(images: Images, train: int, validation: int, test: int, seed: int) -> Splits:
    """Draws three disjoint splits from `images` (N, C, H, W).

    Raises:
        InputError: there are fewer images than the splits need together.
    """
    needed = train + validation + test
    if needed > len(images):
        raise InputError(
            f"data: the splits need {needed:,} images ({train:,} train, {validation:,} validation, "
            f"{test:,} test), but the source has {len(images):,}"
        )
    order = torch.randperm(len(images), generator=generator(seed, "splits"))
    parts = order[:needed].split([train, validation, test])
    if isinstance(images, MappedImages):
        return Splits(*(images.part(part) for part in parts))
    return Splits(*(images[part].contiguous() for part in parts))
