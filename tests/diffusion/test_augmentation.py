"""Augmentation draws for every image, equals torchvision's on each, and at 0 is the identity."""

from __future__ import annotations

import math

import pytest
import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from tune_diffreg.diffusion import augmentation
from tune_diffreg.diffusion.augmentation import LABELS, Draws, affine, color_matrix
from tune_diffreg.study import Augmentation


def images(count: int = 64, channels: int = 3, side: int = 8) -> torch.Tensor:
    """One random image, repeated."""
    one = torch.rand(1, channels, side, side, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return one.repeat(count, 1, 1, 1)


def draw(batch: torch.Tensor, settings: Augmentation, seed: int = 0) -> Draws:
    return augmentation.draw(settings, batch, torch.Generator().manual_seed(seed))


def augment(batch: torch.Tensor, settings: Augmentation, seed: int = 0) -> torch.Tensor:
    return augmentation.augment(batch, settings, draw(batch, settings, seed))


STRENGTHS = {
    "horizontal_flip": 0.5, "translate": 0.5, "crop": 0.3, "rotate": 90.0, "color_jitter": 0.3,
    "brightness": 0.3, "contrast": 0.3, "saturation": 0.3, "hue": 0.2,
}  # fmt: skip
ALL = Augmentation(**STRENGTHS)
EVERY = pytest.mark.parametrize("knob", list(STRENGTHS))


def test_every_strength_is_known() -> None:
    assert set(STRENGTHS) == set(Augmentation.model_fields) - {"probability", "conditional"}


@pytest.mark.parametrize("channels", [1, 3])
def test_at_zero_it_is_the_identity(channels: int) -> None:
    batch = images(channels=channels)
    assert not augmentation.is_on(Augmentation())
    assert augment(batch, Augmentation()) is batch


@EVERY
def test_with_probability_zero_nothing_but_mirroring_happens(knob: str) -> None:
    batch = images(200)
    changed = augment(batch, Augmentation(**{knob: STRENGTHS[knob]}, probability=0.0))
    if knob == "horizontal_flip":
        assert not torch.equal(changed, batch)
    else:
        torch.testing.assert_close(changed, batch, rtol=0, atol=1e-6)


@EVERY
def test_probability_is_the_share_of_images_that_are_changed(knob: str) -> None:
    batch = images(4000)
    settings = Augmentation(**{knob: STRENGTHS[knob]}, probability=0.25)
    labels = draw(batch, settings).labels()
    changed = (labels.abs() > 1e-9).any(dim=1).double().mean()
    # Brightness, contrast and saturation are given each; a mirror image has its own probability;
    # a shift may be by no pixel in both directions, one time in 81.
    share = {"color_jitter": 1 - 0.75**3, "horizontal_flip": 0.5, "translate": 0.25 * 80 / 81}
    assert changed == pytest.approx(share.get(knob, 0.25), abs=0.025)


@EVERY
def test_every_image_of_a_batch_gets_its_own_draw(knob: str) -> None:
    changed = augment(images(), Augmentation(**{knob: STRENGTHS[knob]}))
    distinct = len(torch.unique(changed.flatten(1), dim=0))
    # A flip has two outcomes, shifts of up to 4 pixels 81.
    expected = {"horizontal_flip": 2}
    assert distinct == expected.get(knob, distinct)
    assert distinct >= {"horizontal_flip": 2, "translate": 30}.get(knob, 64)


def test_the_same_generator_gives_the_same_images_and_values_stay_in_range() -> None:
    one, two = augment(images(), ALL, seed=1), augment(images(), ALL, seed=1)
    assert torch.equal(one, two)
    assert not torch.equal(one, augment(images(), ALL, seed=2))
    assert one.abs().max() <= 1 + 1e-6


def test_a_label_is_zero_where_nothing_was_done_and_else_not() -> None:
    batch = images(300)
    assert torch.equal(draw(batch, Augmentation()).labels(), torch.zeros(300, LABELS))
    settings = Augmentation(**STRENGTHS, probability=0.2)
    labels = draw(batch, settings).labels()
    plain = (labels.abs() < 1e-9).all(dim=1)
    assert 0 < plain.sum() < 100
    changed = augment(batch, settings)
    same = (changed - batch).abs().amax(dim=(1, 2, 3)) < 1e-6
    assert torch.equal(same, plain)
    assert (labels.abs().amax(dim=0) > 0).all()  # each number says something


def test_a_flip_is_torchvisions() -> None:
    flipped = augment(images(), Augmentation(horizontal_flip=1.0))
    torch.testing.assert_close(flipped, F.horizontal_flip(images()), rtol=0, atol=1e-5)


def test_half_of_the_images_are_flipped_and_the_others_untouched() -> None:
    batch = images(4000, 1)
    flipped = augment(batch, Augmentation(horizontal_flip=0.5))
    untouched = (flipped == batch).all(dim=(1, 2, 3))
    assert untouched.double().mean() == pytest.approx(0.5, abs=0.03)


def test_a_shift_is_by_whole_pixels_with_edges_continued() -> None:
    batch = images(200)
    settings = Augmentation(translate=0.25)
    pixels = affine(draw(batch, settings))[:, :, 2] * 8 / 2
    assert torch.equal(pixels, pixels.round())
    assert set(pixels.flatten().tolist()) == {-2, -1, 0, 1, 2}
    moved = augment(batch, settings)
    for image, source, (dx, dy) in zip(moved[:30], batch, pixels.int().tolist(), strict=False):
        rows = (torch.arange(8) + dy).clamp(0, 7)
        columns = (torch.arange(8) + dx).clamp(0, 7)
        torch.testing.assert_close(image, source[:, rows][:, :, columns], rtol=0, atol=1e-5)


def test_a_crop_shows_a_window_inside_the_image() -> None:
    maps = affine(draw(images(1000), Augmentation(crop=0.4)))
    side, centre = maps[:, 0, 0], maps[:, :, 2]
    assert side.min() == pytest.approx(0.6, abs=0.01)
    assert side.max() <= 1
    assert (centre.abs() + side[:, None] <= 1 + 1e-6).all()


def test_a_crop_is_torchvisions_resized_crop() -> None:
    batch = images(20, side=32)
    settings = Augmentation(crop=0.5)
    draws = draw(batch, settings)
    for index, image in enumerate(augment(batch, settings)):
        # Windows on whole pixels alone are torchvision's; the nearest one is close.
        side = round(float(draws.side[index]) * 32)
        left = round((0.5 + float(draws.window_x[index]) - float(draws.side[index]) / 2) * 32)
        top = round((0.5 + float(draws.window_y[index]) - float(draws.side[index]) / 2) * 32)
        exact = Draws(
            **{
                **{name: value[:1] for name, value in vars(draw(batch, Augmentation())).items()},
                "side": torch.tensor([side / 32]),
                "window_x": torch.tensor([(left + side / 2) / 32 - 0.5]),
                "window_y": torch.tensor([(top + side / 2) / 32 - 0.5]),
            }
        )
        ours = augmentation.augment(batch[:1], settings, exact)[0]
        theirs = F.resized_crop(batch[0], top, left, side, side, [32, 32], antialias=False)
        # torchvision repeats the edge of the window, ours looks at what lies beyond it.
        torch.testing.assert_close(ours[:, 2:-2, 2:-2], theirs[:, 2:-2, 2:-2], rtol=0, atol=1e-4)
        assert (image - ours).abs().mean() < 0.5


def test_a_rotation_is_torchvisions() -> None:
    batch = images(20, side=16)
    settings = Augmentation(rotate=180.0)
    draws = draw(batch, settings)
    for image, source, angle in zip(
        augment(batch, settings), batch, draws.angle.tolist(), strict=True
    ):
        degrees = math.degrees(angle)
        expected = F.rotate(source, degrees, InterpolationMode.BILINEAR)
        inside = F.rotate(torch.ones_like(source), degrees, InterpolationMode.BILINEAR) > 0.999
        assert inside.double().mean() > 0.7
        torch.testing.assert_close(image[inside], expected[inside], rtol=0, atol=1e-3)


def test_turning_mirroring_and_cropping_together_is_one_after_the_other() -> None:
    batch = images(1, side=16)
    nothing = vars(draw(batch, Augmentation()))
    quarter = {"angle": torch.tensor([math.pi / 2])}
    both = Draws(**{**nothing, **quarter, "flip": torch.tensor([1.0])})
    settings = Augmentation(horizontal_flip=1.0, rotate=90.0)
    ours = augmentation.augment(batch, settings, both)
    expected = F.rotate(F.horizontal_flip(batch), 90.0)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_are_changed_as_torchvision_changes_them(channels: int) -> None:
    batch = images(8, channels) * 0.5  # far from black and white, so that nothing is cut off
    settings = Augmentation(color_jitter=0.1, brightness=0.1, contrast=0.05, saturation=0.2)
    draws = draw(batch, settings, seed=5)
    assert (draws.brightness != 1).all()
    for index, image in enumerate(augment(batch, settings, seed=5)):
        expected = F.adjust_brightness((batch[index] + 1) / 2, float(draws.brightness[index]))
        if channels == 3:
            expected = F.adjust_saturation(expected, float(draws.saturation[index]))
        expected = F.adjust_contrast(expected, float(draws.contrast[index]))
        torch.testing.assert_close((image + 1) / 2, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strength", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("knob", ["brightness", "contrast", "saturation"])
def test_each_change_of_colours_is_torchvisions_at_any_strength(
    knob: str, strength: float, channels: int
) -> None:
    """Alone, since torchvision cuts off what leaves [0, 1] after each and ours after all."""
    batch, settings = images(16, channels), Augmentation(**{knob: strength})
    draws = draw(batch, settings)
    adjust = getattr(F, f"adjust_{knob}")
    factors = getattr(draws, knob).tolist()
    assert max(factors) - min(factors) > strength or channels == 1
    for image, source, factor in zip(augment(batch, settings), batch, factors, strict=True):
        expected = adjust((source + 1) / 2, factor)
        # The luma's weights sum to 0.9999, and gray has them in ours alone.
        atol = 1e-5 if channels == 3 else 1e-4
        torch.testing.assert_close((image + 1) / 2, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("thirds", [-1, 1])
def test_at_thirds_of_a_turn_hue_is_torchvisions_and_between_them_it_is_not(thirds: int) -> None:
    """Ours turns RGB about the gray axis, by one matrix; torchvision's runs along the hexagon."""
    batch = torch.rand(16, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    settings = Augmentation(hue=0.5)

    def turned(part: float) -> torch.Tensor:
        angle = torch.full((16,), 2 * math.pi * part)
        draws = Draws(**{**vars(draw(batch, Augmentation())), "hue": angle})
        return (augmentation.augment(batch, settings, draws) + 1) / 2

    third = F.adjust_hue((batch + 1) / 2, thirds / 3)
    torch.testing.assert_close(turned(thirds / 3), third, rtol=0, atol=1e-5)
    sixth = F.adjust_hue((batch + 1) / 2, thirds / 6)
    assert 0.02 < (turned(thirds / 6) - sixth).abs().mean() < 0.2


def test_hue_turns_colours_about_gray() -> None:
    nothing = vars(draw(images(1), Augmentation()))
    third = Draws(**{**nothing, "hue": torch.tensor([2 * math.pi / 3])})
    matrix = color_matrix(third, torch.full((1, 3), 0.5))[0]
    red, gray = torch.tensor([1.0, 0, 0]), torch.tensor([0.4, 0.4, 0.4])
    torch.testing.assert_close(matrix[:, :3] @ gray + matrix[:, 3], gray)
    # A third of a turn takes red to green, as in torchvision's hue.
    torch.testing.assert_close(matrix[:, :3] @ red, torch.tensor([0.0, 1, 0]), rtol=0, atol=1e-6)
    by_torchvision = F.adjust_hue(red.view(3, 1, 1), 1 / 3).flatten()
    torch.testing.assert_close(by_torchvision, torch.tensor([0.0, 1, 0]), rtol=0, atol=1e-6)


def test_gray_images_have_no_hue_and_no_saturation() -> None:
    batch = images(channels=1)
    torch.testing.assert_close(augment(batch, Augmentation(saturation=1.0, hue=0.5)), batch)
