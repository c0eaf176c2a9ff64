"""Images in a file of plain bytes that is mapped, not read: sets that are larger than memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


class MappedImages:
    """Some of the images of a file, in an order of their own; read when they are indexed.

    Sent to another process it is a path and an order: there too the file is mapped.

    Args:
        path: the file, `shape[0]` images one after the other.
        shape: of all images in the file, `(N, C, H, W)`.
        order: which of them these are; None for all.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], order: torch.Tensor | None = None
    ) -> None:
        self._path = path.resolve()  # another process may have another working folder
        self._shape = shape
        self._order = torch.arange(shape[0]) if order is None else order
        self._file: torch.Tensor | None = None

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self._order), *self._shape[1:]))

    @property
    def nbytes(self) -> int:
        return self.shape.numel()

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: Any) -> torch.Tensor:
        """Images by a number, a slice or a tensor of numbers, as a tensor has them."""
        return self._mapped()[self._order[index]]

    def part(self, order: torch.Tensor) -> MappedImages:
        """Those of these images that `order` names."""
        return MappedImages(self._path, self._shape, self._order[order])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}

    def _mapped(self) -> torch.Tensor:
        if self._file is None:
            size = torch.Size(self._shape).numel()
            bytes_ = torch.from_file(str(self._path), shared=False, size=size, dtype=torch.uint8)
            self._file = bytes_.view(self._shape)
        return self._file
