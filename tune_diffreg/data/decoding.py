"""An image file as a tensor: its size is known before it is unpacked, for a small file may be huge.

By Pillow alone: torchvision's decoder of PNG ends the process where there are fewer pixels than the
header says, as in a file that a full disk cut short.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from PIL.ImageFile import ImageFile

MOST_PIXELS = 100_000_000
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
_GRAY = ("1", "L", "I", "F")
"""How Pillow's modes without colours begin; a palette may have colours."""
_GRAY_LEVELS = {"L;2": 85, "L;4": 17, "I;16B": 1}
"""PNG's grays that Pillow does not compare with the transparent one: a gray as Pillow reads it."""


class TooLarge(ValueError):
    """An image has more pixels than anyone trains on. The text says how many."""


def require_pixels(height: int, width: int) -> None:
    """Raises TooLarge where an image of that size is."""
    if height * width > MOST_PIXELS:
        raise TooLarge(f"{width:,} x {height:,} are more than {MOST_PIXELS:,} pixels")


def decoded(path: Path, channels: int) -> torch.Tensor:
    """An image as it is, `(channels, H, W) uint8`; of an animation the first frame.

    What is transparent is laid over white.

    Args:
        channels: 1 for gray, 3 for colours.

    Raises:
        ValueError, OSError: it cannot be read, or is `TooLarge`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes that are allowed here
            with Image.open(path, formats=_FORMATS) as image:
                require_pixels(image.height, image.width)
                pixels = _pixels(image, path, "L" if channels == 1 else "RGB")
    except (OSError, ValueError):
        raise
    except Image.DecompressionBombError as error:  # Pillow looks at the size sooner than we can
        raise TooLarge(str(error)) from None
    except Exception as error:  # whatever else a damaged file makes it raise
        raise ValueError(str(error)) from None
    return torch.from_numpy(pixels).view(*pixels.shape[:2], channels).permute(2, 0, 1).contiguous()


def is_gray(path: Path) -> bool:
    """Whether an image that can be decoded is stored without colours."""
    with Image.open(path, formats=_FORMATS) as image:
        return image.mode.startswith(_GRAY)


def _pixels(image: ImageFile, path: Path, mode: str) -> np.ndarray:
    """`(H, W)` or `(H, W, 3)`."""
    image.draft(mode, image.size)  # the luminance of a JPEG as it was stored
    stored = image.tile[0].args if image.tile else None  # known until it is unpacked
    upright = _upright(image)
    clear = _clear(upright, path, stored)
    if upright.mode.startswith("I"):  # 16 bits, of which the upper 8 are taken
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if clear is not None:
        upright.info.pop("transparency", None)
        upright.putalpha(Image.fromarray(np.where(clear, 0, 255).astype(np.uint8)))
    if upright.has_transparency_data:  # what lies under it is often any colour at all
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright.convert("RGBA"))
    return np.array(upright.convert(mode))


def _clear(upright: Image.Image, path: Path, stored: Any) -> np.ndarray | None:
    """Where the one transparent colour of a PNG is, `(H, W) bool`; None where Pillow finds it.

    Args:
        stored: how Pillow names the pixels of the file.
    """
    colour = upright.info.get("transparency")
    if colour is None:
        return None
    same: np.ndarray | None = None
    if stored in _GRAY_LEVELS:
        same = np.asarray(upright) == colour * _GRAY_LEVELS[stored]
    elif stored == "RGB;16B":  # Pillow reads the upper bytes alone
        upper, lower = np.divmod(colour, 256)
        both = (np.asarray(upright) == upper) & (_lower_bytes(path) == lower)
        same = both.all(axis=2)
    return same


def _lower_bytes(path: Path) -> np.ndarray:
    """Of a PNG of 16 bits a colour, `(H, W, 3) uint8`: as if the lower bytes came first."""
    with Image.open(path, formats=("PNG",)) as image:
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
        return np.asarray(_upright(image))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; EXIF that is damaged turns nothing."""
    with suppress(Exception):
        return ImageOps.exif_transpose(image)
    return image
