"""References on the disk, each under a hash of all that it was made of.

Made once for all studies of a storage folder and for all nodes that see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.copies import Heldout
from tune_diffreg.evaluation.features import FeatureExtractor
from tune_diffreg.evaluation.measured import Measured, Space
from tune_diffreg.files import read_sealed, write_sealed
from tune_diffreg.mirror import fetch

_VERSION = 2
"""To be raised when anything that is measured of a reference changes."""


def reference_file(folder: Path, data: str, extractor: FeatureExtractor, space: Space) -> Path:
    """Where a reference is kept.

    Args:
        data: hash of the splits.
        space: what distances to training images are measured in.
    """
    features = (extractor.name, extractor.digest, extractor.code, extractor.dtype)
    made_of = (_VERSION, data, *features, space)
    return folder / f"{hashlib.sha256(repr(made_of).encode()).hexdigest()}.safetensors"


def kept(path: Path, make: Callable[[], Measured]) -> Measured:
    """What is in the file `path`, made and written there if it is not there whole.

    Where the storage is elsewhere, another machine may have made it.

    Raises:
        InputError: as `make` does, or the file cannot be written.
    """
    try:
        if not path.exists():
            fetch(path)
        return _measured(load(bytes(read_sealed(path))))
    except (OSError, ValueError, KeyError, SafetensorError):
        measured = make()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, save(_tensors(measured)))
    except OSError as error:
        raise InputError(f"{path.parent} cannot be written ({error.strerror})") from None
    return measured


def _tensors(measured: Measured) -> dict[str, torch.Tensor]:
    found = {"features": measured.features, "radii": measured.radii}
    if measured.train_features is not None:
        found["train_features"] = measured.train_features
    if measured.heldout is not None:
        found |= {f"heldout.{name}": tensor for name, tensor in vars(measured.heldout).items()}
    return {name: tensor.contiguous() for name, tensor in found.items()}


def _measured(tensors: dict[str, torch.Tensor]) -> Measured:
    names = ("distance", "target", "cells", "distinct")
    heldout = None
    if "heldout.distance" in tensors:
        heldout = Heldout(*(tensors[f"heldout.{name}"] for name in names))
    train_features = tensors.get("train_features")
    return Measured(tensors["features"], tensors["radii"], train_features, heldout)
