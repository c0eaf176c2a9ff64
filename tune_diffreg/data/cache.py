"""The resized images of a folder, kept in one file: decoded once, then mapped."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch

from tune_diffreg.data.mapped import MappedImages
from tune_diffreg.errors import InputError


def cached(
    path: Path, key: str, shape: tuple[int, ...], images: Iterable[torch.Tensor]
) -> MappedImages:
    """The images in the file `path`, written there from `images` if they are not there yet.

    Args:
        key: says what the images were made of; a file with another key is made anew.
        shape: `(N, C, H, W)`.
        images: N images `(C, H, W) uint8`, asked for only if they are needed.

    Raises:
        InputError: the file cannot be written.
    """
    about = path.with_name(f"{path.name}.json")
    wanted = {"key": key, "shape": list(shape)}
    try:
        if _content(about) == wanted and path.stat().st_size == torch.Size(shape).numel():
            return MappedImages(path, shape)
        path.parent.mkdir(parents=True, exist_ok=True)
        about.unlink(missing_ok=True)
        _write(path, images)
        about.write_text(json.dumps(wanted))
    except OSError as error:
        raise InputError(f"data.cache: {path} cannot be written ({error.strerror})") from None
    return MappedImages(path, shape)


def fingerprint(root: Path, paths: Iterable[Path]) -> str:
    """Names, sizes and times of change of the files: equal as long as nobody touches them."""
    sha = hashlib.sha256()
    for path in paths:
        status = path.stat()
        line = f"{path.relative_to(root)}\0{status.st_size}\0{status.st_mtime_ns}\n"
        sha.update(line.encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def _content(about: Path) -> object:
    try:
        return json.loads(about.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _write(path: Path, images: Iterable[torch.Tensor]) -> None:
    """Image by image into a file beside it, which takes the name when it is whole."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            for image in images:
                file.write(image.contiguous().numpy().tobytes())
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
