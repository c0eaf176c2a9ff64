"""References on the disk, each under a hash of all that it was made of.

Made once for all studies of a storage folder and for all nodes that see it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.features import FeatureExtractor
from tune_diffreg.evaluation.reference import Measured, Reference, Space
from tune_diffreg.files import read_sealed, write_sealed
from tune_diffreg.images import Images

_VERSION = 1
"""To be raised when anything that is measured of a reference changes."""


def reference_file(folder: Path, data: str, extractor: FeatureExtractor, space: Space) -> Path:
    """Where a reference is kept.

    Args:
        data: hash of the splits.
        space: what distances to training images are measured in.
    """
    made_of = (_VERSION, data, extractor.name, extractor.digest, extractor.dtype, space)
    return folder / f"{hashlib.sha256(repr(made_of).encode()).hexdigest()}.safetensors"


def kept_reference(
    path: Path, train: Images, extractor: FeatureExtractor, make: Callable[[], Reference]
) -> Reference:
    """The reference in the file `path`, made and written there if it is not there whole.

    Raises:
        InputError: as `make` does, or the file cannot be written.
    """
    try:
        return Reference(train, extractor, Measured(**load(bytes(read_sealed(path)))))
    except (FileNotFoundError, ValueError, SafetensorError, TypeError):
        pass
    reference = make()
    content = {f.name: getattr(reference.measured, f.name).contiguous() for f in fields(Measured)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_sealed(path, save(content))
    except OSError as error:
        raise InputError(f"{path.parent} cannot be written ({error.strerror})") from None
    return reference
