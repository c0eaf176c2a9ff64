"""Hashes of tensors, by which one set of weights is told from another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from hashlib import _Hash


def add_tensors(sha: _Hash, tensors: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Takes in the names, kinds, shapes and bytes of tensors, in their order."""
    for name, tensor in tensors:
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
