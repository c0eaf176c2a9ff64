"""Augmentation with its own draw for every image of a batch.

torchvision's transforms draw once a batch. Here flip, shift and crop are one affine map an image,
and colour is one gain and offset an image. A strength of 0 is exactly the identity.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tune_diffreg.study import Augmentation

# ITU-R BT.601 luma, as torchvision's rgb_to_grayscale has it.
_LUMA = (0.2989, 0.587, 0.114)


def augment(
    images: torch.Tensor, settings: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    """Augments `images` `(N, C, H, W)` float in [-1, 1]; `generator` is on their device."""
    if settings.horizontal_flip or settings.translate or settings.crop:
        images = apply_affine(images, draw_affine(images, settings, generator))
    if settings.color_jitter:
        images = _jitter(images, settings.color_jitter, generator)
    return images


def draw_affine(
    images: torch.Tensor, settings: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    """One map an image, `(N, 2, 3)`: where each output pixel is read, in [-1, 1] coordinates."""
    n, _, height, width = images.shape

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator, device=images.device)

    flip = torch.where(uniform(n) < settings.horizontal_flip, -1.0, 1.0)
    side = 1 - settings.crop * uniform(n)
    sides = torch.tensor([width, height], device=images.device)
    # Whole pixels, so that a shift alone resamples nothing. One pixel is 2/side wide.
    most = (settings.translate * sides).floor()
    shift = ((2 * uniform(n, 2) - 1) * (most + 0.5)).round().clamp(-most, most) * 2 / sides
    window = (1 - side)[:, None] * (2 * uniform(n, 2) - 1)

    affine = torch.zeros(n, 2, 3, device=images.device)
    affine[:, 0, 0] = flip * side
    affine[:, 1, 1] = side
    affine[:, :, 2] = shift + window
    return affine


def apply_affine(images: torch.Tensor, affine: torch.Tensor) -> torch.Tensor:
    """Reads `images` through the maps `(N, 2, 3)`, bilinear, edges continued outwards."""
    grid = F.affine_grid(affine, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    identity = torch.eye(2, 3, device=affine.device)
    untouched = (affine == identity).all(dim=(1, 2))
    return torch.where(untouched[:, None, None, None], images, moved)


def _jitter(images: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """Brightness, contrast and, for RGB, saturation, each by a factor in 1 ± strength."""
    draws = torch.rand(3, len(images), 1, 1, 1, generator=generator, device=images.device)
    brightness, contrast, saturation = 1 + strength * (2 * draws - 1)
    pixels = (images + 1) / 2 * brightness
    if images.shape[1] == 3:
        pixels = torch.lerp(_gray(pixels), pixels, saturation)
    mean = _gray(pixels).mean(dim=(2, 3), keepdim=True)
    return torch.lerp(mean, pixels, contrast).clamp(0, 1) * 2 - 1


def _gray(pixels: torch.Tensor) -> torch.Tensor:
    if pixels.shape[1] == 1:
        return pixels
    weights = torch.tensor(_LUMA, device=pixels.device).view(1, 3, 1, 1)
    return (pixels * weights).sum(dim=1, keepdim=True)
