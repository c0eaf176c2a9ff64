"""Any folder of images, nested or not, brought to one size and one number of channels."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torchvision.transforms.v2 import functional as F

from tune_diffreg.data.arrays import require_memory
from tune_diffreg.data.cache import cached, fingerprint
from tune_diffreg.data.decoding import TooLarge, decoded, require_pixels
from tune_diffreg.errors import InputError
from tune_diffreg.images import Images

EXTENSIONS = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_NAMED = 5

Progress = Callable[[int, int], None]


def image_folder(
    root: Path,
    channels: int,
    size: int,
    progress: Progress | None = None,
    cache: Path | None = None,
) -> Images:
    """All images below `root`, `(N, channels, size, size) uint8`, in the order of their paths.

    The shorter side is resized to `size` with antialiasing and the centre is cut out.

    Args:
        progress: called with (images read, images in all) after each one.
        cache: a file to keep them in; they are mapped from it and take no memory.

    Raises:
        InputError: no folder, no images in it, more than memory holds, or images that cannot be
            read, by name.
    """
    try:
        paths = image_paths(root)
    except InputError as error:
        raise InputError(f"data.path: {error}") from None
    shape = (len(paths), channels, size, size)
    reading = _read_all(root, paths, channels, size, progress)
    if cache is not None:
        if cache.name.lower().endswith(EXTENSIONS):
            raise InputError(f"data.cache: {cache} has the name of an image; name it otherwise")
        try:
            key = fingerprint(root, paths)
        except OSError:  # a link to nowhere, or to itself; reading names it
            key = ""
        return cached(cache, key, shape, reading)
    require_memory(
        math.prod(shape),
        f"data.path: {root}: {len(paths):,} images of {size} x {size} take",
        "; take smaller ones, or map them from a file (data.cache)",
    )
    images = torch.empty(shape, dtype=torch.uint8)
    for index, image in enumerate(reading):
        images[index] = image
    return images


def _read_all(
    root: Path, paths: list[Path], channels: int, size: int, progress: Progress | None
) -> Iterator[torch.Tensor]:
    """Image after image; at the end it names those that cannot be read.

    Raises:
        InputError: some cannot be read.
    """
    unreadable = []
    for index, path in enumerate(paths):
        try:
            yield _read(path, channels, size)
        except (OSError, ValueError) as error:
            name = str(path.relative_to(root))
            unreadable.append(f"{name} ({error})" if isinstance(error, TooLarge) else name)
        if progress is not None:
            progress(index + 1, len(paths))
    if unreadable:
        more = len(unreadable) - _NAMED
        names = ", ".join(unreadable[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        raise InputError(
            f"data.path: {len(unreadable)} of {len(paths)} images in {root} cannot be read: "
            f"{names}; repair or remove them"
        )


def image_paths(root: Path) -> list[Path]:
    """All images in or below `root`, in order; at least one.

    Raises:
        InputError: there is no such folder, or no image in it.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder")
    paths = sorted(_image_paths(root))
    if not paths:
        raise InputError(f"no images ({', '.join(EXTENSIONS)}) in or below {root}")
    return paths


def _image_paths(root: Path) -> Iterator[Path]:
    """Files below `root` with an image's extension; linked folders are followed, once each."""
    visited = set[str]()
    for folder, below, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in visited:
            below.clear()
            continue
        visited.add(real)
        yield from (Path(folder, n) for n in names if n.lower().endswith(EXTENSIONS))


def _read(path: Path, channels: int, size: int) -> torch.Tensor:
    image = decoded(path, channels)
    short, long = sorted(image.shape[1:])
    require_pixels(size, -(-size * long // short))
    image = F.resize(image, [size], antialias=True)
    square: torch.Tensor = F.center_crop(image, [size, size])
    return square
