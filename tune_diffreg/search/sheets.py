"""Sheets of images as PNG files: samples, and those most like a training image beside it."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.io import encode_png
from torchvision.utils import make_grid

from tune_diffreg.files import write_atomically

_COLUMNS = 8
_MOST = 64
_SIDE = 32  # pixels; smaller images are enlarged by whole factors


def save_sheet(images: torch.Tensor, path: Path) -> None:
    """The first images `(N, C, H, W) uint8`, eight in a row."""
    _save(images[:_MOST], path)


def save_pairs(generated: torch.Tensor, training: torch.Tensor, path: Path) -> None:
    """Rows of generated images `(N, C, H, W) uint8`, and below each its training image."""
    rows = []
    for start in range(0, len(generated), _COLUMNS):
        for images in (generated, training):
            row = images[start : start + _COLUMNS]
            blank = row.new_full((_COLUMNS - len(row), *row.shape[1:]), 255)
            rows.append(torch.cat([row, blank]))
    _save(torch.cat(rows), path)


def _save(images: torch.Tensor, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    factor = max(1, _SIDE // images.shape[-1])
    enlarged = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    grid = make_grid(enlarged, nrow=_COLUMNS, padding=2, pad_value=255)
    write_atomically(path, bytes(encode_png(grid).numpy().tobytes()))
