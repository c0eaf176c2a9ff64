"""Augmentation with its own draw for every image of a batch, on the device of the images.

torchvision's transforms draw once a batch. Here all geometry is one affine map an image and all
colour one matrix an image. A strength of 0 is exactly the identity. What was done to each image is
a row of numbers too, 0 where nothing was, which `conditioning.py` can tell the network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F

from tune_diffreg.diffusion.parallel import WHOLE, Part
from tune_diffreg.study import Augmentation

# ITU-R BT.601 luma, as torchvision's rgb_to_grayscale has it.
_LUMA = (0.2989, 0.587, 0.114)
_CROSS = ((0.0, -1.0, 1.0), (1.0, 0.0, -1.0), (-1.0, 1.0, 0.0))


@dataclass(frozen=True)
class Draws:
    """What happens to each image of a batch, every tensor `(N,)`.

    Attributes:
        flip: 1 for a mirror image, else 0.
        shift_x, shift_y: of the window that is shown, in sides of the image.
        side: length of that window, in sides of the image.
        window_x, window_y: its place, in sides from the centre.
        angle: by which the image turns, in radians.
        brightness, contrast, saturation: factors.
        hue: turn of the colours about the gray axis, in radians.
    """

    flip: torch.Tensor
    shift_x: torch.Tensor
    shift_y: torch.Tensor
    side: torch.Tensor
    window_x: torch.Tensor
    window_y: torch.Tensor
    angle: torch.Tensor
    brightness: torch.Tensor
    contrast: torch.Tensor
    saturation: torch.Tensor
    hue: torch.Tensor

    def labels(self) -> torch.Tensor:
        """The draws as the network is told them, `(N, LABELS)`; a row of 0 is an image as it is.

        Angles as (cos - 1, sin), as in EDM (Karras et al. 2022, table 6), so that a whole turn is
        none.
        """
        return torch.stack(
            [
                self.flip, self.shift_x, self.shift_y,
                1 - self.side, self.window_x, self.window_y,
                self.angle.cos() - 1, self.angle.sin(),
                self.brightness - 1, self.contrast - 1, self.saturation - 1,
                self.hue.cos() - 1, self.hue.sin(),
            ],
            dim=1,
        )  # fmt: skip


LABELS = 13
"""Numbers that say what was done to an image."""
_DRAWS = 18
"""Uniform numbers that an image takes."""


def is_on(settings: Augmentation) -> bool:
    """Whether anything is ever done to an image."""
    return _moves(settings) or _colors(settings)


def draw(
    settings: Augmentation,
    images: torch.Tensor,
    generator: torch.Generator,
    part: Part = WHOLE,
) -> Draws:
    """Draws for each of `images` `(N, C, H, W)`, which are `part` of a batch.

    `generator` is on their device.
    """
    n, channels, _, width = images.shape
    drawn = torch.rand(_DRAWS, n * part.count, generator=generator, device=images.device)
    columns = iter(part.of(drawn, dim=1))

    def acts() -> torch.Tensor:
        drawn: torch.Tensor = next(columns)
        return (drawn < settings.probability).float()

    def around_zero(strength: float) -> torch.Tensor:
        """Even in ± strength, or 0 where this is not done to an image."""
        drawn: torch.Tensor = next(columns)
        return strength * (2 * drawn - 1) * acts()

    def factor(strength: float) -> torch.Tensor:
        """Around 1, and never below 0, which would turn an image into its negative."""
        return (1 + around_zero(settings.color_jitter + strength)).clamp(min=0)

    flip = (next(columns) < settings.horizontal_flip).float()
    # Whole pixels, so that a shift alone resamples nothing.
    most = math.floor(settings.translate * width)
    shifted = acts()
    shift_x, shift_y = (
        ((most + 0.5) * (2 * next(columns) - 1)).round().clamp(-most, most) / width * shifted
        for _ in "xy"
    )
    removed = settings.crop * next(columns) * acts()
    window_x, window_y = (removed / 2 * (2 * next(columns) - 1) for _ in "xy")
    in_color = float(channels == 3)
    return Draws(
        flip,
        shift_x,
        shift_y,
        1 - removed,
        window_x,
        window_y,
        angle=around_zero(math.radians(settings.rotate)),
        brightness=factor(settings.brightness),
        contrast=factor(settings.contrast),
        saturation=1 + in_color * (factor(settings.saturation) - 1),
        hue=in_color * around_zero(2 * math.pi * settings.hue),
    )


def augment(images: torch.Tensor, settings: Augmentation, draws: Draws) -> torch.Tensor:
    """Augments square `images` `(N, C, H, W)` float in [-1, 1]."""
    if _moves(settings):
        images = _read_through(images, affine(draws))
    if _colors(settings):
        images = _recolor(images, draws)
    return images


def affine(draws: Draws) -> torch.Tensor:
    """One map an image, `(N, 2, 3)`: where each output pixel is read, in [-1, 1] coordinates."""
    mirror = 1 - 2 * draws.flip
    cos, sin = draws.side * draws.angle.cos(), draws.side * draws.angle.sin()
    x, y = draws.shift_x + draws.window_x, draws.shift_y + draws.window_y
    # The image is 2 wide in these coordinates.
    rows = [mirror * cos, -mirror * sin, 2 * x, sin, cos, 2 * y]
    return torch.stack(rows, dim=1).view(-1, 2, 3)


def color_matrix(draws: Draws, mean: torch.Tensor) -> torch.Tensor:
    """One map an image from RGB in [0, 1] to RGB, `(N, 3, 4)`, its last column added.

    Brightness, then saturation, then hue, then contrast about the mean gray of what results.

    Args:
        mean: colour of each image, `(N, 3)`.
    """
    luma, eye = _constant(_LUMA, mean.device), torch.eye(3, device=mean.device)
    brightness, saturation, contrast = (
        factor.view(-1, 1, 1) for factor in (draws.brightness, draws.saturation, draws.contrast)
    )
    saturate = saturation * eye + (1 - saturation) * luma.expand(3, 3)
    matrix = _turn_about_gray(draws.hue) @ saturate * brightness
    gray = luma @ (matrix @ mean.unsqueeze(-1))
    offset = ((1 - contrast) * gray.unsqueeze(-1)).expand(-1, 3, 1)
    return torch.cat([contrast * matrix, offset], dim=2)


def _turn_about_gray(angle: torch.Tensor) -> torch.Tensor:
    """Rotation of RGB about (1, 1, 1) by Rodrigues' formula, `(N, 3, 3)`."""
    eye = torch.eye(3, device=angle.device)
    third = torch.full((3, 3), 1 / 3, device=angle.device)
    cross = _constant(_CROSS, angle.device) / 3**0.5
    cos, sin = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    return cos * eye + sin * cross + (1 - cos) * third


@cache
def _constant(values: tuple[Any, ...], device: torch.device) -> torch.Tensor:
    """Copied to the device once: a copy makes the host wait."""
    return torch.tensor(values, device=device)


def _read_through(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Reads `images` through the maps `(N, 2, 3)`, bilinear, edges continued outwards."""
    grid = F.affine_grid(maps, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    identity = torch.eye(2, 3, device=maps.device)
    untouched = (maps == identity).all(dim=(1, 2))
    return torch.where(untouched[:, None, None, None], images, moved)


def _recolor(images: torch.Tensor, draws: Draws) -> torch.Tensor:
    pixels = (images + 1) / 2
    mean = pixels.mean(dim=(2, 3))
    # Gray is RGB with three equal channels, which every one of the maps keeps equal.
    matrix = color_matrix(draws, mean.expand(-1, 3))[:, : mean.shape[1]]
    if mean.shape[1] == 1:
        gain, offset = matrix[:, :, :3].sum(dim=2), matrix[:, :, 3]
        changed = pixels * gain[..., None, None] + offset[..., None, None]
    else:
        changed = torch.einsum("nij,njhw->nihw", matrix[:, :, :3], pixels)
        changed = changed + matrix[:, :, 3, None, None]
    return changed.clamp(0, 1) * 2 - 1


def _moves(settings: Augmentation) -> bool:
    return bool(settings.horizontal_flip or settings.translate or settings.crop or settings.rotate)


def _colors(settings: Augmentation) -> bool:
    return bool(
        settings.color_jitter
        or settings.brightness
        or settings.contrast
        or settings.saturation
        or settings.hue
    )
