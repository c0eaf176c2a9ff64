"""The reference: its scores, what it refuses, and how it is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import tiny_study
from tune_diffreg.data import load_splits
from tune_diffreg.data.digits import digits_pool
from tune_diffreg.errors import InputError
from tune_diffreg.evaluation import (
    GaussianStatistics,
    Measured,
    Reference,
    frechet_distance,
    kept,
    load_extractor,
    reference_file,
)
from tune_diffreg.evaluation.features import PixelFeatures
from tune_diffreg.evaluation.floor import floor_of
from tune_diffreg.evaluation.measured import Space
from tune_diffreg.seeds import generator
from tune_diffreg.study import scores

STUDY = tiny_study("data.train=200", "data.validation=450", "data.test=400")
SPLITS = load_splits(STUDY.data, STUDY.model)
EXTRACTOR = load_extractor(STUDY.evaluation)


def reference(space: Space = "pixels") -> Reference:
    measured = Measured.of(SPLITS.validation[:], SPLITS.train, EXTRACTOR, space)
    return Reference(SPLITS.train.shape[1:], SPLITS.train, EXTRACTOR, measured)


@pytest.mark.parametrize("space", ["pixels", "features"])
def test_real_digits_score_far_better_than_noise_and_than_copies(space: Space) -> None:
    held = reference(space)
    test, copies = SPLITS.test[:], SPLITS.train[:].repeat(2, 1, 1, 1)
    real, copied, noise = (
        held.score(images)
        for images in (test, copies, torch.randint(0, 256, test.shape, dtype=torch.uint8))
    )
    assert real["fd_digits_cnn"] < noise["fd_digits_cnn"] / 20
    assert abs(real["kd_digits_cnn"]) < 4 * real["kd_digits_cnn_se"]
    assert noise["kd_digits_cnn"] > 10 * noise["kd_digits_cnn_se"]
    assert real["precision"] > 0.9 > noise["precision"]
    assert real["coverage"] > 0.9 > noise["coverage"]
    assert copied["memorized_fraction"] == 1
    assert real["memorized_fraction"] < real["heldout_memorized_fraction"] + 0.02


def test_the_floor_is_what_real_digits_score_on_average() -> None:
    """At as many images as a trial generates, of which there are too few to measure it with."""
    features = EXTRACTOR(digits_pool())
    draw = torch.Generator().manual_seed(0)
    found, told = [], []
    for _ in range(20):
        heldout, fresh = features[torch.randperm(len(features), generator=draw)[:1062]].split(
            [550, 512]
        )
        found.append(frechet_distance(GaussianStatistics.of(heldout), fresh))
        floor = floor_of(heldout, 512)
        assert floor[1:] == (512, 275)
        told.append(floor.value)
    assert sum(told) / 20 == pytest.approx(sum(found) / 20, rel=0.1)


def test_a_floor_of_more_dimensions_than_images_is_told_as_measured() -> None:
    features = EXTRACTOR(SPLITS.validation[:])
    assert floor_of(features[:100], 512)[1:] == (50, 50)
    assert floor_of(features, 80)[1:] == (80, 80)


def test_every_score_that_can_be_asked_for_is_taken() -> None:
    """But those of the loss, which are the trainer's."""
    taken = set(reference().score(SPLITS.test[:]))
    losses = {name for name in scores.all_of("digits_cnn") if "loss" in name}
    assert set(scores.all_of("digits_cnn")) - losses - set(scores.OF_TRAINING) <= taken
    assert {f"heldout_{name}" for name in scores.OF_HELDOUT} <= taken


def test_ten_thousand_images_are_extrapolated_from_too() -> None:
    assert "fid_infinity" in scores.all_of("inception", 10_000)
    assert "fid_infinity" not in scores.all_of("inception", 9_999)
    many = torch.randint(0, 256, (10_000, 1, 8, 8), generator=generator(0, "many")).byte()
    measured = Measured.of(many[:500], None, PixelFeatures(), "pixels")
    held = Reference(many.shape[1:], None, PixelFeatures(), measured)
    found = held.score(many)
    # What is left at infinitely many is the bias of the 500 that they are held against.
    assert 0 < found["fd_pixels_infinity"] < found["fd_pixels"]
    assert "fd_pixels_infinity" not in held.score(many[:9_999])


def test_without_training_images_copies_are_not_looked_for() -> None:
    measured = Measured.of(SPLITS.validation[:], None, EXTRACTOR, "pixels")
    held = Reference(SPLITS.validation.shape[1:], None, EXTRACTOR, measured)
    assert held.copies is None
    found = held.score(SPLITS.test[:])
    assert found["fd_digits_cnn"] == reference().score(SPLITS.test[:])["fd_digits_cnn"]
    assert "memorized_fraction" not in found


class Broken:
    """Features that are no numbers."""

    name, digest, code, dtype = "broken", "0", "", torch.float64

    def to(self, device: torch.device) -> None: ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        features = EXTRACTOR(images).clone()
        features[3] = torch.nan
        return features


def test_what_cannot_be_scored_is_one_sentence() -> None:
    validation = SPLITS.validation[:]
    with pytest.raises(InputError, match="6 held-out images; there are 5"):
        Measured.of(validation[:5], SPLITS.train, EXTRACTOR, "pixels")
    with pytest.raises(InputError, match="2 training images; there are 1"):
        Measured.of(validation, SPLITS.train[:1], EXTRACTOR, "pixels")
    with pytest.raises(InputError, match="all 200 training images are equal"):
        same = SPLITS.train[:1].expand(200, -1, -1, -1)
        Measured.of(validation, same, EXTRACTOR, "pixels")
    late = torch.cat([same[:1].expand(1400, -1, -1, -1), validation[:1]])
    assert Measured.of(validation, late, EXTRACTOR, "pixels").heldout is not None
    with pytest.raises(InputError, match="features of 1 of the held-out images are not finite"):
        Measured.of(validation, SPLITS.train, Broken(), "pixels")
    with pytest.raises(InputError, match="5 images are too few; scores need 6"):
        reference().score(validation[:5])
    with pytest.raises(InputError, match="images are 1x8x4, but those of the reference are 1x8x8"):
        reference().score(validation[..., :4])


def test_a_set_of_one_image_over_and_over_is_scored() -> None:
    found = reference().score(SPLITS.test[:1].repeat(60, 1, 1, 1))
    assert found["fd_digits_cnn"] > 20
    assert found["recall"] == 0


def test_what_is_kept_is_what_was_measured_and_is_measured_once(tmp_path: Path) -> None:
    path = reference_file(tmp_path / "references", "data", EXTRACTOR, "features")
    made = []

    def make() -> Measured:
        made.append(Measured.of(SPLITS.validation[:], SPLITS.train, EXTRACTOR, "features"))
        return made[-1]

    first, second = kept(path, make), kept(path, make)
    assert len(made) == 1
    assert torch.equal(first.features, second.features)
    shape = SPLITS.train.shape[1:]
    found = [
        Reference(shape, SPLITS.train, EXTRACTOR, m).score(SPLITS.test[:]) for m in (first, second)
    ]
    assert found[0] == found[1]
    for damage in (path.read_bytes()[:-1], b"", path.read_bytes().replace(b"radii", b"rodii")):
        path.write_bytes(damage)
        assert torch.equal(kept(path, make).radii, first.radii)
    assert len(made) == 4
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_another_data_set_extractor_or_space_has_another_file(tmp_path: Path) -> None:
    files = {
        reference_file(tmp_path, data, extractor, space)
        for data in ("a", "b")
        for extractor in (EXTRACTOR, Broken())
        for space in ("pixels", "features")
    }
    assert len(files) == 8


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    measured = Measured.of(SPLITS.validation[:], None, EXTRACTOR, "pixels")
    with pytest.raises(InputError, match="cannot be written"):
        kept(tmp_path / "file" / "x.safetensors", lambda: measured)
