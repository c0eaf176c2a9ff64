"""CIFAR-10 through torchvision: its 50,000 training images."""

from __future__ import annotations

from pathlib import Path

import torch
from torchvision.datasets import CIFAR10

from tune_diffreg.errors import InputError

_ARCHIVE = "cifar-10-python.tar.gz"


def cifar10(root: Path) -> torch.Tensor:
    """The training images, `(50000, 3, 32, 32) uint8`, downloaded into `root` where absent.

    Raises:
        InputError: the files are neither there nor to be had.
    """
    try:
        dataset = CIFAR10(str(root), train=True, download=not _is_there(root))
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise InputError(
            f"data.path: {root} holds no complete CIFAR-10 and it could not be downloaded "
            f"({reason[0]}); put {_ARCHIVE}, or the folder cifar-10-batches-py unpacked from it, "
            f"into {root}"
        ) from None
    return torch.from_numpy(dataset.data).permute(0, 3, 1, 2).contiguous()


def _is_there(root: Path) -> bool:
    try:
        CIFAR10(str(root), train=True, download=False)
    except (RuntimeError, OSError):
        return False
    return True
