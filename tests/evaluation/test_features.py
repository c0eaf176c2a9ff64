"""Extractors: whose weights are verified, whose features do not depend on the batch."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.conftest import tiny_study
from tune_diffreg.data.digits import extractor_digits, labelled_pool
from tune_diffreg.errors import InputError
from tune_diffreg.evaluation import (
    FeatureExtractor,
    Measured,
    load_extractor,
)
from tune_diffreg.evaluation.digits_cnn import DigitsFeatures
from tune_diffreg.study import Evaluation

OWN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 5)

    def forward(self, images):
        return self.linear(images.flatten(1).float())

def mine(): return Net()
def nothing(): return 3
def wide(): return nn.Conv2d(1, 1, 3)
def square(): return nn.Identity()
class Mean(nn.Module):
    def forward(self, images): return images.flatten(1).float().mean(0, keepdim=True)
class Nothing(nn.Module):
    def forward(self, images): return torch.zeros(len(images), 0)
class Complex(nn.Module):
    def forward(self, images): return images.flatten(1).to(torch.complex64)
class Same(nn.Module):
    def forward(self, images): return torch.ones(len(images), 3)
def mean(): return Mean()
def empty(): return Nothing()
def spiral(): return Complex()
def constant(): return Same()
"""


@pytest.fixture(autouse=True)
def own_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module `own_features` that can be imported, and a cache of weights that is empty."""
    (tmp_path / "own_features.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("own_features", None)


def evaluation(features: object, weights: Path | None = None) -> Evaluation:
    given = {"features": features, "weights": str(weights) if weights else None}
    return Evaluation.model_validate(given)


def extractor_of(name: str) -> FeatureExtractor:
    return load_extractor(evaluation({"factory": f"own_features:{name}"}))


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
    image = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8)
    expected = image.double().unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5)) / 255
    torch.testing.assert_close(load_extractor(evaluation("pixels"))(image), expected.flatten(1))


def test_a_network_of_ones_own_has_a_name_and_a_digest() -> None:
    extractor = extractor_of("mine")
    images = torch.randint(0, 256, (300, 1, 8, 8), dtype=torch.uint8)
    assert extractor(images).shape == (300, 5)
    assert extractor.name == "mine"
    assert extractor.digest == extractor_of("mine").digest
    assert extractor.digest != extractor_of("wide").digest


def test_another_preparation_of_images_is_another_extractor(tmp_path: Path) -> None:
    """It stands in the code alone: weights and printed text are the same."""
    before = extractor_of("mine").digest
    sys.modules.pop("own_features")
    file = tmp_path / "own_features.py"
    file.write_text(OWN.replace("float())", "float() / 255)"))
    importlib.invalidate_caches()
    assert extractor_of("mine").digest != before
    sys.modules.pop("own_features")
    file.write_text("from own_networks import mine\n")
    for divisor in (1, 255):
        sys.modules.pop("own_networks", None)
        source = OWN.replace("float())", f"float() / {divisor})")
        (tmp_path / "own_networks.py").write_text(source + "#" * divisor)
        importlib.invalidate_caches()
        sys.modules.pop("own_features", None)
        digest = extractor_of("mine").digest
        assert digest != before
        before = digest
    sys.modules.pop("own_networks")


@pytest.mark.parametrize("name", ["inception", "digits_cnn", "pixels", "clip", "dinov2"])
def test_no_function_has_the_name_of_a_network_that_comes_with_us(name: str) -> None:
    """Or `fid` would appear for features that nobody verified."""
    with pytest.raises(ValidationError, match=f"those of '{name}' are of the features of that"):
        evaluation({"factory": f"own_features:{name}"})


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("mean", "mean: for 300 images the network returns 2 vectors of 64 numbers"),
        ("empty", "empty: for 300 images the network returns 300 vectors of 0 numbers"),
        ("spiral", "spiral: for 300 images the network returns 300 vectors of 64 complex numbers"),
        ("constant", "constant: the features of all held-out images are equal"),
    ],
)
def test_features_that_tell_nothing_are_one_sentence(name: str, sentence: str) -> None:
    images = labelled_pool()[0][:300]
    with pytest.raises(InputError, match=sentence):
        Measured.of(images, None, extractor_of(name), "pixels")


def test_the_digits_classifier_takes_digits_alone() -> None:
    with pytest.raises(InputError, match="takes digits of 1x8x8, but the images are 3x8x8"):
        DigitsFeatures()(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("gone", "own_features has no 'gone'"),
        ("nothing", "returned int, not a torch.nn.Module"),
        ("wide", r"cannot be called with images \(4, 1, 8, 8\) uint8: RuntimeError"),
        ("square", r"the network returns \(4, 1, 8, 8\); an extractor returns one vector an image"),
    ],
)
def test_what_is_no_extractor_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        extractor_of(name)(torch.zeros(4, 1, 8, 8, dtype=torch.uint8))
