"""What all rooms take for a set of images."""

from __future__ import annotations

from typing import Any, Protocol

import torch


class Images(Protocol):
    """Images `(N, C, H, W) uint8` on the CPU: a tensor, or what is indexed like one."""

    @property
    def shape(self) -> torch.Size: ...

    @property
    def nbytes(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any) -> torch.Tensor: ...
