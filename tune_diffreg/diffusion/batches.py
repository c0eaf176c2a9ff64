"""Which images a step sees, and how they come to the device."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import torch

from tune_diffreg.diffusion.parallel import WHOLE, Part
from tune_diffreg.images import Images
from tune_diffreg.seeds import generator

# Of the memory that a trial has on its device, what the training images may take.
_RESIDENT_SHARE = 0.25


class Walk:
    """Visits all images in a new order each time round; a function of (seed, step) alone.

    Args:
        size: number of images.
        count: images a step; may be more than `size`.
        part: which of them this process takes.
    """

    def __init__(self, size: int, count: int, seed: int, part: Part = WHOLE) -> None:
        self._size = size
        self._count = count
        self._seed = seed
        self._part = part
        self._orders: dict[int, torch.Tensor] = {}

    def indices(self, step: int) -> torch.Tensor:
        """The images of `step`, `(count,)`, or this process's part of them."""
        first = step * self._count
        rounds = range(first // self._size, (first + self._count - 1) // self._size + 1)
        self._orders = {number: self._order(number) for number in rounds}
        offsets = {number: max(0, first - number * self._size) for number in rounds}
        parts = [order[offsets[number] :][: self._count] for number, order in self._orders.items()]
        return self._part.of(torch.cat(parts)[: self._count])

    def _order(self, number: int) -> torch.Tensor:
        if number in self._orders:
            return self._orders[number]
        shuffle = generator(self._seed, "order of images", number)
        return torch.randperm(self._size, generator=shuffle)


Batches = Callable[[int], torch.Tensor]
"""Step to its images, `(N, C, H, W) uint8` on the device."""


def batches(images: Images, walk: Walk, device: torch.device, memory: int) -> Batches:
    """Batches of `images`, held on `device` if they fit.

    Args:
        images: may be mapped from a file that is larger than memory.
        memory: bytes that a trial may take on the device.
    """
    in_place = device.type == "cpu" and isinstance(images, torch.Tensor)
    if in_place or images.nbytes <= _RESIDENT_SHARE * memory:
        return Resident(images[:], walk, device)
    return Streamed(images, walk, device)


class Resident:
    """Images that all lie on the device."""

    def __init__(self, images: torch.Tensor, walk: Walk, device: torch.device) -> None:
        self._images = images.to(device)
        self._walk = walk

    def __call__(self, step: int) -> torch.Tensor:
        indices = self._walk.indices(step)
        return self._images[indices.to(self._images.device, non_blocking=True)]


class Streamed:
    """Images that are gathered on the CPU, a few steps ahead, while the device computes."""

    AHEAD = 4

    def __init__(self, images: Images, walk: Walk, device: torch.device) -> None:
        self._images = images
        self._walk = walk
        self._device = device
        self._thread = ThreadPoolExecutor(1, "batches")
        self._coming: dict[int, Future[torch.Tensor]] = {}

    def __call__(self, step: int) -> torch.Tensor:
        for later in range(step, step + self.AHEAD + 1):
            if later not in self._coming:
                self._coming[later] = self._thread.submit(self._gather, self._walk.indices(later))
        batch = self._coming.pop(step).result()
        # After a restart at another step, what was coming before it is of no use.
        self._coming = {later: future for later, future in self._coming.items() if later > step}
        return batch.to(self._device, non_blocking=True)

    def _gather(self, indices: torch.Tensor) -> torch.Tensor:
        batch = self._images[indices]
        return batch.pin_memory() if self._device.type == "cuda" else batch
