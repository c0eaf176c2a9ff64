"""Memorisation, features and the reference, on real digits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import tiny_study
from tune_diffreg.data import load_splits
from tune_diffreg.data.digits import extractor_digits, labelled_pool
from tune_diffreg.errors import InputError
from tune_diffreg.evaluation import (
    Reference,
    distance_ratios,
    load_extractor,
    memorized_fraction,
)
from tune_diffreg.evaluation.digits_cnn import DigitsFeatures


def test_the_digits_classifier_is_right_on_digits_that_it_never_saw() -> None:
    images, labels = labelled_pool()
    network = DigitsFeatures().network
    right = (network(images).argmax(1) == labels).double().mean()
    assert right >= 0.97
    assert not {i.numpy().tobytes() for i in images} & {
        i.numpy().tobytes() for i in extractor_digits()[0]
    }


def test_digits_features_have_full_rank_and_do_not_depend_on_the_batch() -> None:
    extractor = load_extractor(tiny_study().evaluation)
    images, _ = labelled_pool()
    features = extractor(images)
    assert features.shape == (1197, 64)
    assert features.dtype == torch.float64
    assert torch.linalg.matrix_rank(features - features.mean(0)) == 64
    alone = torch.cat([extractor(image[None]) for image in images[:20]])
    torch.testing.assert_close(alone, features[:20], rtol=0, atol=1e-11)
    assert len(extractor.digest) == 64


def test_pixel_features_are_the_area_average() -> None:
    extractor = load_extractor(
        tiny_study("evaluation.features=pixels", "objective={metric: fd_pixels}").evaluation
    )
    image = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    expected = image.double().unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5)) / 255
    torch.testing.assert_close(extractor(image), expected.flatten(1))


def test_inception_without_its_weights_is_one_sentence(tmp_path: Path) -> None:
    study = tiny_study()
    absent = study.evaluation.model_copy(
        update={"features": "inception", "weights": str(tmp_path / "absent.pth")}
    )
    with pytest.raises(InputError, match=r"weights are not at .*absent.pth; put weights-inception"):
        load_extractor(absent)
    (tmp_path / "other.pth").write_bytes(b"something else")
    other = absent.model_copy(update={"weights": str(tmp_path / "other.pth")})
    with pytest.raises(InputError, match="its SHA-256 starts with"):
        load_extractor(other)


def test_copies_are_memorised_and_held_out_images_are_not() -> None:
    study = tiny_study()
    splits = load_splits(study.data, study.model)
    train = splits.train
    noisy = (train.int() + torch.randint(-3, 4, train.shape)).clamp(0, 255).to(torch.uint8)
    assert memorized_fraction(distance_ratios(train, train)) == 1
    assert memorized_fraction(distance_ratios(noisy, train)) == 1
    assert memorized_fraction(distance_ratios(splits.validation, train)) < 0.02
    mixed = torch.cat([train[:30], splits.validation[:270]])
    assert memorized_fraction(distance_ratios(mixed, train)) == pytest.approx(0.1, abs=0.01)


def test_the_distance_ratio_is_the_one_of_the_definition() -> None:
    train = torch.tensor([0, 10, 100], dtype=torch.uint8).view(3, 1, 1, 1)
    images = torch.tensor([1, 10, 60], dtype=torch.uint8).view(3, 1, 1, 1)
    assert distance_ratios(images, train).tolist() == pytest.approx([1 / 9, 0, 40 / 50])


def test_a_copy_of_a_training_image_that_stands_there_twice_is_a_copy() -> None:
    train = torch.tensor([5, 5, 90], dtype=torch.uint8).view(3, 1, 1, 1)
    assert distance_ratios(train[:1], train).tolist() == [0]


def test_the_block_size_does_not_matter() -> None:
    images, _ = labelled_pool()
    assert torch.equal(
        distance_ratios(images[:100], images[100:200], block=7),
        distance_ratios(images[:100], images[100:200], block=100),
    )


def test_the_reference_scores_real_digits_far_better_than_noise() -> None:
    study = tiny_study()
    splits = load_splits(study.data, study.model)
    extractor = load_extractor(study.evaluation)
    reference = Reference.of(splits.train, splits.validation, extractor, study.distance)
    real = reference.score(splits.test, extractor)
    noise = reference.score(torch.randint(0, 256, splits.test.shape, dtype=torch.uint8), extractor)
    assert real["fd_digits_cnn"] < noise["fd_digits_cnn"] / 20
    assert reference.heldout_memorized_fraction < 0.01


def test_a_split_of_one_image_cannot_be_a_reference() -> None:
    study = tiny_study("data.validation=1")
    splits = load_splits(study.data, study.model)
    with pytest.raises(InputError, match="at least 2 images"):
        Reference.of(
            splits.train, splits.validation, load_extractor(study.evaluation), study.distance
        )
