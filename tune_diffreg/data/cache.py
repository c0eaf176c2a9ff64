"""The resized images of a folder, kept in one file: decoded once, then mapped."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import torch

from tune_diffreg.data.mapped import HEADER_BYTES, MAGIC, MappedImages, header
from tune_diffreg.errors import InputError


def cached(
    path: Path, key: str, shape: tuple[int, ...], images: Iterable[torch.Tensor]
) -> MappedImages:
    """The images in the file `path`, written there from `images` if they are not there yet.

    What the images are and the images themselves are one file, which takes its name when it is
    whole: another process sees the old or the new.

    Args:
        key: says what the images were made of; a file with another key is made anew.
        shape: `(N, C, H, W)`.
        images: N images `(C, H, W) uint8`, asked for only if they are needed.

    Raises:
        InputError: the file is another one of the user's, or cannot be written.
    """
    first = header(key, shape)
    try:
        path = path.resolve()
        if path.is_dir():
            raise InputError(f"data.cache: {path} is a folder; name a file")
        if path.exists():
            with path.open("rb") as file:
                found = file.read(HEADER_BYTES)
            whole = path.stat().st_size == HEADER_BYTES + torch.Size(shape).numel()
            if found == first and whole:
                return MappedImages(path, key, shape)
            if not found.startswith(MAGIC):
                raise InputError(f"data.cache: {path} exists and is no cache of images")
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, first, images)
    except (OSError, ValueError) as error:  # the latter of a path that no system takes
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"data.cache: {path} cannot be written ({reason})") from None
    return MappedImages(path, key, shape)


def fingerprint(root: Path, paths: Iterable[Path]) -> str:
    """Where the files are, their names, sizes and times of change: equal while nobody acts."""
    sha = hashlib.sha256(str(root.resolve()).encode("utf-8", "surrogateescape"))
    for path in paths:
        status = path.stat()
        line = f"{path.relative_to(root)}\0{status.st_size}\0{status.st_mtime_ns}\n"
        sha.update(line.encode("utf-8", "surrogateescape"))
    return sha.hexdigest()


def _write(path: Path, first: bytes, images: Iterable[torch.Tensor]) -> None:
    """Image by image into a file beside it, which takes the name when it is whole."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(first)
            for image in images:
                file.write(image.contiguous().numpy().tobytes())
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
