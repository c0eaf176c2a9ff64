"""The averaged weights of a trial in a file whose damage is noticed, and which is plain safetensors
to everybody else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from tune_diffreg.files import write_atomically
from tune_diffreg.hashing import add_tensors

_CHECKSUM = "sha256"
"""Among the metadata of the file; of files by earlier versions it is not."""


def save_weights(path: Path, weights: Mapping[str, torch.Tensor]) -> None:
    """Writes the weights with their SHA-256, atomically."""
    # Copies, since two names may share one tensor, which the format does not allow.
    state = {name: weight.cpu().clone().contiguous() for name, weight in weights.items()}
    write_atomically(path, save(state, {_CHECKSUM: _digest(state)}))


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The weights in a safetensors file, on the CPU.

    Raises:
        OSError, SafetensorError: the file is missing or damaged.
        ValueError: its checksum is wrong.
    """
    with safe_open(path, "pt") as file:
        told = (file.metadata() or {}).get(_CHECKSUM)
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if told is not None and told != _digest(weights):
        raise ValueError("its checksum is wrong")
    return weights


def _digest(weights: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of all weights, whatever their order."""
    sha = hashlib.sha256()
    add_tensors(sha, sorted(weights.items()))
    return sha.hexdigest()
