"""Augmentation draws for every image, equals torchvision's on each, and at 0 is the identity."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms.v2 import functional as F

from tune_diffreg.diffusion.augmentation import apply_affine, augment, draw_affine
from tune_diffreg.study import Augmentation


def images(count: int = 64, channels: int = 3, side: int = 8) -> torch.Tensor:
    """One random image, repeated."""
    one = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return one.repeat(count, 1, 1, 1)


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


ALL = Augmentation(horizontal_flip=0.5, translate=0.25, crop=0.3, color_jitter=0.2)


@pytest.mark.parametrize("channels", [1, 3])
def test_at_zero_it_is_the_identity(channels: int) -> None:
    batch = images(channels=channels)
    assert augment(batch, Augmentation(), draw()) is batch


@pytest.mark.parametrize("knob", ["horizontal_flip", "translate", "crop", "color_jitter"])
def test_every_image_of_a_batch_gets_its_own_draw(knob: str) -> None:
    strength = 0.5 if knob in ("horizontal_flip", "translate") else 0.3
    changed = augment(images(), Augmentation(**{knob: strength}), draw())
    distinct = len(torch.unique(changed.flatten(1), dim=0))
    # A flip has two outcomes; shifts of up to 4 pixels 81; crops and colours one an image.
    assert distinct == {"horizontal_flip": 2, "crop": 64, "color_jitter": 64}.get(knob, distinct)
    assert distinct > (1 if knob == "horizontal_flip" else 30)


def test_the_same_generator_gives_the_same_images_and_values_stay_in_range() -> None:
    one, two = augment(images(), ALL, draw(1)), augment(images(), ALL, draw(1))
    assert torch.equal(one, two)
    assert not torch.equal(one, augment(images(), ALL, draw(2)))
    assert one.abs().max() <= 1 + 1e-6


def test_a_flip_is_torchvisions() -> None:
    flipped = augment(images(), Augmentation(horizontal_flip=1.0), draw())
    torch.testing.assert_close(flipped, F.horizontal_flip(images()), rtol=0, atol=1e-5)


def test_half_of_the_images_are_flipped_and_the_others_untouched() -> None:
    batch = images(4000, 1)
    flipped = augment(batch, Augmentation(horizontal_flip=0.5), draw())
    untouched = (flipped == batch).all(dim=(1, 2, 3))
    assert untouched.double().mean() == pytest.approx(0.5, abs=0.03)


def test_a_shift_is_by_whole_pixels_with_edges_continued() -> None:
    batch = images(200)
    settings = Augmentation(translate=0.25)
    affine = draw_affine(batch, settings, draw())
    moved = apply_affine(batch, affine)
    pixels = affine[:, :, 2] * 8 / 2
    assert torch.equal(pixels, pixels.round())
    assert set(pixels.flatten().tolist()) == {-2, -1, 0, 1, 2}
    for image, source, (dx, dy) in zip(moved[:30], batch, pixels.int().tolist(), strict=False):
        rows = (torch.arange(8) + dy).clamp(0, 7)
        columns = (torch.arange(8) + dx).clamp(0, 7)
        torch.testing.assert_close(image, source[:, rows][:, :, columns], rtol=0, atol=1e-5)


def test_a_crop_shows_a_window_inside_the_image() -> None:
    affine = draw_affine(images(1000), Augmentation(crop=0.4), draw())
    side, centre = affine[:, 0, 0], affine[:, :, 2]
    assert side.min() == pytest.approx(0.6, abs=0.01)
    assert side.max() <= 1
    assert (centre.abs() + side[:, None] <= 1 + 1e-6).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_changed_as_torchvision_changes_them(channels: int) -> None:
    batch = images(8, channels) * 0.5  # far from black and white, so that nothing is cut off
    changed = augment(batch, Augmentation(color_jitter=0.2), draw(5))
    draws = torch.rand(3, 8, 1, 1, 1, generator=draw(5))
    factors = (1 + 0.2 * (2 * draws - 1)).view(3, 8).T.tolist()
    for image, source, (brightness, contrast, saturation) in zip(
        changed, batch, factors, strict=True
    ):
        expected = F.adjust_brightness((source + 1) / 2, brightness)
        if channels == 3:
            expected = F.adjust_saturation(expected, saturation)
        expected = F.adjust_contrast(expected, contrast)
        torch.testing.assert_close((image + 1) / 2, expected, rtol=0, atol=1e-5)
