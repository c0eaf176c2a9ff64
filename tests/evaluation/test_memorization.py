"""Copies, near-copies and interpolations of real digits, as each statistic sees them."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats

from tests.conftest import tiny_study
from tune_diffreg.data import load_splits
from tune_diffreg.data.digits import labelled_pool
from tune_diffreg.evaluation import (
    Copies,
    Measured,
    Neighbors,
    Reference,
    Targets,
    load_extractor,
    near_copies,
)
from tune_diffreg.evaluation.copies import Heldout
from tune_diffreg.evaluation.memorization import (
    authentic_fraction,
    c_t,
    distance_ratios,
    mann_whitney_z,
    median_distance_ratio,
    memorized_fraction,
)
from tune_diffreg.seeds import generator


def near(*distances: float) -> Neighbors:
    """Images at these distances from training image 0, and twice as far from the next."""
    first = torch.tensor(distances, dtype=torch.float64)
    targets = torch.tensor([[0, 1]]).expand(len(first), 2)
    return Neighbors(torch.stack([first, 2 * first], dim=1), targets)


def pixels(*values: int) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1)


def test_the_distance_ratio_is_the_one_of_the_definition() -> None:
    found = Targets(pixels(0, 10, 100)).nearest(pixels(1, 10, 60), 2)
    assert distance_ratios(found).tolist() == pytest.approx([1 / 9, 0, 40 / 50])
    assert memorized_fraction(found) == pytest.approx(2 / 3)


def test_a_copy_of_a_training_image_that_stands_there_twice_is_a_copy() -> None:
    found = Targets(pixels(5, 5, 90)).nearest(pixels(5), 2)
    assert distance_ratios(found).tolist() == [0]


def test_the_z_is_scipy_s() -> None:
    a, b = near(1, 2, 2, 3, 5, 8), near(2, 4, 6, 7, 9, 9, 12)
    x, y = a.distance[:, 0].numpy(), b.distance[:, 0].numpy()
    asymptotic = stats.mannwhitneyu(x, y, method="asymptotic", use_continuity=False)
    assert mann_whitney_z(a, b) == pytest.approx(stats.norm.ppf(asymptotic.pvalue / 2))
    assert mann_whitney_z(near(3, 3), near(3, 3)) == 0


def test_c_t_weighs_the_cells_by_their_held_out_images() -> None:
    cells = torch.tensor([0, 1, 0])
    low, high = near(*range(1, 7)), near(*range(4, 10))
    second = Neighbors(high.distance, torch.ones_like(high.target))
    generated = Neighbors(*(torch.cat(p) for p in zip(low, second, strict=True)))
    heldout = Neighbors(*(torch.cat(p) for p in zip(high, second, strict=True)))
    expected = (mann_whitney_z(low, high) + 0) / 2
    assert c_t(generated, heldout, cells) == pytest.approx(expected)
    assert math.isnan(c_t(near(1, 2), near(1, 2), cells))


def test_an_image_is_authentic_if_its_original_has_nearer_ones() -> None:
    assert authentic_fraction(near(1, 3, 5), torch.full((3,), 3.0)) == pytest.approx(1 / 3)
    assert median_distance_ratio(near(1, 2, 3), near(4, 8, 9)) == 0.25


def test_every_statistic_of_digits_moves_as_it_should() -> None:
    study = tiny_study("data.train=300", "data.validation=450", "data.test=400")
    splits = load_splits(study.data, study.model)
    train, test = splits.train[:], splits.test[:]
    copies = Copies(train, Heldout.of(train, splits.validation[:]))
    draw = torch.Generator().manual_seed(0)
    noise = torch.randint(-5, 6, train.shape, generator=draw)
    noisy = (train.int() + noise).clamp(0, 255).to(torch.uint8)
    halfway = ((train.int() + nearest_other(train).int()) // 2).to(torch.uint8)
    real, exact, near_copies, between, tenth = (
        copies.score(images)
        for images in (test, train, noisy, halfway, torch.cat([train[:40], test[:360]]))
    )
    assert real["memorized_fraction"] < 0.02
    assert abs(real["mann_whitney_z"]) < 3
    assert abs(real["c_t"]) < 3
    assert real["median_distance_ratio"] == pytest.approx(1, abs=0.1)
    assert real["authentic_fraction"] == pytest.approx(real["heldout_authentic_fraction"], abs=0.1)
    for copied in (exact, near_copies):
        assert copied["memorized_fraction"] == 1
        assert copied["authentic_fraction"] == 0
        assert copied["median_distance_ratio"] < 0.3
        assert copied["mann_whitney_z"] < -15
        assert copied["c_t"] < -5
    # The ratio is blind to what lies between two training images; ranks of distances see it.
    assert between["memorized_fraction"] < 0.02
    assert between["mann_whitney_z"] < -10
    assert tenth["memorized_fraction"] == pytest.approx(0.1, abs=0.02)
    assert tenth["authentic_fraction"] < real["authentic_fraction"] - 0.02


@pytest.mark.parametrize("space", ["pixels", "features"])
def test_training_images_that_are_there_twice_do_not_hide_copies(space: str) -> None:
    """The second would stand beside the first, as near to a copy: its ratio would be 1."""
    study = tiny_study("data.train=300", "data.validation=450", "data.test=400")
    splits, extractor = load_splits(study.data, study.model), load_extractor(study.evaluation)
    once = splits.train[:]
    twice = torch.cat([once, once])[torch.randperm(600, generator=generator(0, "order"))]
    noise = torch.randint(-5, 6, once.shape, generator=generator(0, "noise"))
    noisy = (once.int() + noise).clamp(0, 255).to(torch.uint8)
    found = []
    for train in (once, twice):
        measured = Measured.of(splits.validation, train, extractor, space)
        held = Reference(train.shape[1:], train, extractor, measured)
        found.append(held.score(noisy))
        original = train[held.nearest(noisy).target[:, 0]]
        assert (original == once).flatten(1).all(1).double().mean() > 0.95
        assert held.copies is not None
        assert held.copies.doubles == len(train) - 300
    assert found[1]["memorized_fraction"] == found[0]["memorized_fraction"] > 0.9
    assert found[1]["authentic_fraction"] == found[0]["authentic_fraction"] < 0.1
    for name in ("heldout_memorized_fraction", "median_distance_ratio", "mann_whitney_z"):
        assert found[1][name] == pytest.approx(found[0][name])


def nearest_other(images: torch.Tensor) -> torch.Tensor:
    itself = torch.arange(len(images))
    return images[Targets(images).nearest(images, 1, exclude=itself).target[:, 0]]


def test_held_out_images_that_are_near_copies_are_counted() -> None:
    images, _ = labelled_pool()
    train, heldout = images[:100], torch.cat([images[100:200], images[:7]])
    assert Copies(train, Heldout.of(train, heldout)).near_copies == 7
    assert near_copies(train, heldout) == near_copies(torch.cat([train, train]), heldout) == 7


def test_c_t_has_cells_where_there_are_images_for_them() -> None:
    images, _ = labelled_pool()
    few = Heldout.of(images[:20], images[20:60])
    many = Heldout.of(images[:600], images[600:])
    assert len(few.cells.unique()) == 1
    assert len(many.cells.unique()) > 5
    assert len(many.cells) == 600
