"""A set of images by one word: a folder, an .npz file, CIFAR-10's folder or the digits."""

from __future__ import annotations

from pathlib import Path

import torch

from tune_diffreg.data.arrays import read_npz
from tune_diffreg.data.cifar10 import cifar10
from tune_diffreg.data.decoding import TooLarge, decoded, is_gray
from tune_diffreg.data.digits import digits_pool
from tune_diffreg.data.image_folder import Progress, image_folder, image_paths
from tune_diffreg.data.splits import in_blocks
from tune_diffreg.errors import InputError
from tune_diffreg.files import user_path
from tune_diffreg.images import Images

Shape = tuple[int, int, int]
_CIFAR10 = "cifar-10-batches-py"


def real_set(source: str, size: int | None, progress: Progress | None = None) -> Images:
    """Real images `(N, C, size, size) uint8`; those of a folder are resized and cut.

    Args:
        source: `digits`, an .npz file, a folder of images, or one that holds CIFAR-10.
        size: of a folder's images; that of the first one if left out.

    Raises:
        InputError: there is nothing of the kind, or it cannot be read.
    """
    if source == "digits":
        return digits_pool()
    path = user_path(source)
    if path.suffix == ".npz":
        return _npz(path)
    if (path / _CIFAR10).is_dir() or path.name == _CIFAR10:
        return cifar10(path if (path / _CIFAR10).is_dir() else path.parent)
    first = _decoded(image_paths(path)[0], channels=3)
    images = image_folder(path, 3, size or min(first.shape[1:]), progress)
    gray = not any(_has_colors(block) for block in in_blocks(images))
    return images[:, :1].clone() if gray else images


def generated_set(source: str, shape: Shape, progress: Progress | None = None) -> Images:
    """Generated images as they are, `(N, *shape) uint8`: to change them changes what is judged.

    Raises:
        InputError: there is nothing of the kind, it cannot be read, or is of another shape.
    """
    path = user_path(source)
    if path.suffix == ".npz":
        return _npz(path)
    files, images = image_paths(path), []
    for file in files:
        image = _of_channels(file, shape[0])
        if image.shape != shape:
            raise InputError(
                f"{file} is {image.shape[2]} x {image.shape[1]} pixels, but the images of the "
                f"reference are {shape[2]} x {shape[1]}"
            )
        images.append(image)
        if progress is not None:
            progress(len(images), len(files))
    return torch.stack(images)


def _npz(path: Path) -> torch.Tensor:
    """The one array of an .npz file: (N, H, W), (N, H, W, C) as is usual, or (N, C, H, W)."""
    array = read_npz(path)
    if array.ndim not in (3, 4) or not array.size:
        raise InputError(
            f"{path}: holds {array.dtype} {array.shape}; images are uint8 (N, H, W, C), (N, H, W) "
            "or (N, C, H, W)"
        )
    images = torch.from_numpy(array)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3):
        images = images.permute(0, 3, 1, 2)
    elif images.shape[1] not in (1, 3):
        raise InputError(f"{path}: holds {array.shape}; images have 1 channel or 3")
    # One layout in memory for all, since convolutions of another layout round otherwise.
    return images.clone(memory_format=torch.contiguous_format)


def _of_channels(file: Path, channels: int) -> torch.Tensor:
    """A generated image, `(channels, H, W)`, that has colours if those of the reference have.

    Raises:
        InputError: it is the other way round, or cannot be read.
    """
    image = _decoded(file, 3)
    if channels == 1:
        if _has_colors(image[None]):
            raise InputError(f"{file} has colours, but the images of the reference are gray")
        return image[:1]
    if is_gray(file):  # one in colour may well look gray
        raise InputError(f"{file} is stored as gray, but the images of the reference have colours")
    return image


def _has_colors(images: torch.Tensor) -> bool:
    """Whether the channels `(N, 3, H, W)` differ anywhere."""
    return not bool((images == images[:, :1]).all())


def _decoded(path: Path, channels: int) -> torch.Tensor:
    try:
        return decoded(path, channels)
    except TooLarge as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, ValueError):
        raise InputError(f"{path}: cannot be read; repair or remove it") from None
