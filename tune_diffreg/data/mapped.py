"""Images in a file that is mapped, not read: sets that are larger than memory.

The file begins with what it holds, `HEADER_BYTES` long; then come the pixels, image after image.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tune_diffreg.errors import InputError

MAGIC = b"tune-diffreg images 1\n"
HEADER_BYTES = 4096


def header(key: str, shape: tuple[int, ...]) -> bytes:
    """How the file begins whose images were made of `key`."""
    return (MAGIC + json.dumps({"key": key, "shape": shape}).encode()).ljust(HEADER_BYTES)


class MappedImages:
    """Some of the images of a file, in an order of their own; read when they are indexed.

    Sent to another process it is a path and an order: there too the file is mapped.

    Args:
        path: the file.
        key: what its images were made of.
        shape: of all images in the file, `(N, C, H, W)`.
        order: which of them these are; None for all.
    """

    def __init__(
        self, path: Path, key: str, shape: tuple[int, ...], order: torch.Tensor | None = None
    ) -> None:
        self._path = path.resolve()  # another process may have another working folder
        self._key = key
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
        """Images by a number, a slice or a tensor of numbers, as a tensor has them.

        Raises:
            InputError: the file was made anew of other images since.
        """
        return self._mapped()[self._order[index]]

    def part(self, order: torch.Tensor) -> MappedImages:
        """Those of these images that `order` names."""
        return MappedImages(self._path, self._key, self._shape, self._order[order])

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_file": None}

    def _mapped(self) -> torch.Tensor:
        if self._file is None:
            size = HEADER_BYTES + torch.Size(self._shape).numel()
            try:
                whole = torch.from_file(str(self._path), shared=False, size=size, dtype=torch.uint8)
            except RuntimeError:  # it is gone, or shorter
                raise self._changed() from None
            if bytes(whole[:HEADER_BYTES].numpy()) != header(self._key, self._shape):
                raise self._changed()
            self._file = whole[HEADER_BYTES:].view(self._shape)
        return self._file

    def _changed(self) -> InputError:
        return InputError(
            f"data.cache: {self._path} no longer holds the images that the study was started with"
        )
