"""Extractors: whose weights are verified, whose features do not depend on the batch."""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch_fidelity.feature_extractor_clip import CLIPVisual, FeatureExtractorCLIP
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.datasets import CIFAR10 as CIFAR10Set

from tests.conftest import tiny_study
from tune_diffreg.data.digits import extractor_digits, labelled_pool
from tune_diffreg.errors import InputError
from tune_diffreg.evaluation import (
    FeatureExtractor,
    GaussianStatistics,
    Measured,
    digits_cnn,
    frechet_distance,
    load_extractor,
    pretrained,
    reference_file,
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
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
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


@pytest.mark.parametrize("name", ["inception", "clip", "dinov2"])
def test_absent_and_wrong_weights_are_one_sentence(name: str, tmp_path: Path) -> None:
    file = pretrained.SOURCES[name].file
    with pytest.raises(
        InputError, match=rf"weights are not at .*hub/checkpoints/{file}; put {file}"
    ):
        load_extractor(evaluation(name))
    (tmp_path / "other.pth").write_bytes(b"something else")
    with pytest.raises(InputError, match=r"its SHA-256 starts with .*it may have been cut short"):
        load_extractor(evaluation(name, tmp_path / "other.pth"))


@pytest.fixture(scope="module")
def random_inception(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the right shape that nobody trained."""
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.manual_seed(0)
    network = object.__new__(FeatureExtractorInceptionV3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
        patch.setattr(torch, "load", lambda *_, **__: {})
        network.__init__("inception-v3-compat", ["2048"], feature_extractor_weights_path="x")
    torch.save(network.state_dict(), path)
    return path


def verified(monkeypatch: pytest.MonkeyPatch, name: str, path: Path) -> None:
    """Makes the file at `path` the right one."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    source = replace(pretrained.SOURCES[name], sha256=sha256)
    monkeypatch.setitem(pretrained.SOURCES, name, source)


@pytest.mark.parametrize("name", ["digits_cnn", "inception"])
def test_a_reference_is_kept_under_what_prepares_images_too(
    name: str, random_inception: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights' hash, which is shown and compared, stays theirs alone."""
    verified(monkeypatch, "inception", random_inception)
    weights = random_inception if name == "inception" else digits_cnn.WEIGHTS

    def loaded() -> FeatureExtractor:
        return load_extractor(evaluation(name, weights if name == "inception" else None))

    def file(extractor: FeatureExtractor) -> Path:
        return reference_file(tmp_path, "data", extractor, "pixels")

    found = [loaded(), loaded()]
    assert file(found[0]) == file(found[1])
    module = digits_cnn if name == "digits_cnn" else pretrained
    changed = tmp_path / "changed.py"
    changed.write_bytes(Path(module.__file__).read_bytes() + b"# otherwise")
    with monkeypatch.context() as patch:
        patch.setattr(module, "__file__", str(changed))
        found.append(loaded())
    if name == "inception":
        monkeypatch.setattr(pretrained, "version", lambda _: "0.0.1")
        found.append(loaded())
    assert len({file(extractor) for extractor in found}) == len(found) - 1
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert {extractor.digest for extractor in found} == {sha256}


def test_clip_s_features_are_torch_fidelity_s_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the architecture in small, which torch-fidelity reads from the weights' shapes."""
    torch.manual_seed(0)
    clip = CLIPVisual(24, 28, vision_layers=1, vision_width=64, vision_patch_size=14)
    weights = tmp_path / "clip.pt"
    stored = {**clip.state_dict(), "text_projection": torch.zeros(8, 24)}
    torch.jit.script(holder(stored)).save(str(weights))
    verified(monkeypatch, "clip", weights)
    images = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8)
    plain = FeatureExtractorCLIP(
        "clip-vit-l-14", ["clip"], feature_extractor_weights_path=str(weights)
    )
    with torch.inference_mode():
        (expected,) = plain(images)
    extractor = load_extractor(evaluation("clip", weights))
    features = extractor(images)
    assert features.shape == (5, 24)
    assert torch.equal(features, expected)
    assert features.dtype == extractor.dtype == torch.float32
    assert features.std(dim=0).min() > 0


def holder(tensors: dict[str, torch.Tensor]) -> nn.Module:
    """A module with these parameters and nothing else."""
    root = nn.Module()
    for name, tensor in tensors.items():
        *path, last = name.split(".")
        part = root
        for step in path:
            if not hasattr(part, step):
                part.add_module(step, nn.Module())
            part = part.get_submodule(step)
        part.register_parameter(last, nn.Parameter(tensor))
    return root


@pytest.mark.slow
def test_inception_s_features_are_torch_fidelity_s_bit_for_bit(
    random_inception: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified(monkeypatch, "inception", random_inception)
    extractor = load_extractor(evaluation("inception", random_inception))
    images = torch.randint(0, 256, (6, 3, 32, 32), dtype=torch.uint8)
    plain = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(random_inception)
    )
    with torch.inference_mode():
        expected = plain(images)[0]
    features = extractor(images)
    assert torch.equal(features, expected)
    assert features.dtype == extractor.dtype == torch.float32
    assert features.std() > 0
    gray = images[:, :1]
    assert torch.equal(extractor(gray), extractor(gray.expand(-1, 3, -1, -1).contiguous()))


def test_weights_cut_short_are_noticed(
    random_inception: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified(monkeypatch, "inception", random_inception)
    short = tmp_path / "short.pth"
    short.write_bytes(random_inception.read_bytes()[:-1000])
    with pytest.raises(InputError, match="it may have been cut short"):
        load_extractor(evaluation("inception", short))


def test_dinov2_is_read_from_torch_hub_s_cache_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small network in place of the large one, in the same places."""
    monkeypatch.setenv("XFORMERS_DISABLED", "")  # so that it is put back
    monkeypatch.delenv("XFORMERS_DISABLED")
    hub = tmp_path / "hub"
    weights = hub / "checkpoints" / pretrained.SOURCES["dinov2"].file
    weights.parent.mkdir(parents=True)
    torch.save({f"1.{k}": v for k, v in nn.Linear(12, 7).state_dict().items()}, weights)
    verified(monkeypatch, "dinov2", weights)
    with pytest.raises(
        InputError, match=r"the network's code is not at .*facebookresearch_dinov2_main"
    ):
        load_extractor(evaluation("dinov2"))
    code = hub / "facebookresearch_dinov2_main"
    code.mkdir()
    (code / "hubconf.py").write_text(
        "import os\n"
        "assert os.environ['XFORMERS_DISABLED'] == '1'\n"  # as torch-fidelity has it
        "from small_transformer import Small, Flatten, Linear\n"
        "def dinov2_vitl14(pretrained): return Small(Flatten(), Linear(12, 7))\n"
    )
    (code / "small_transformer.py").write_text(
        "from torch.nn import Flatten, Linear, Sequential\n"
        "class Small(Sequential):\n"
        "    def forward(self, images): return super().forward(images[:, :, :2, :2])\n"
    )
    extractor = load_extractor(evaluation("dinov2"))
    images = torch.randint(0, 256, (3, 3, 16, 16), dtype=torch.uint8)
    assert extractor(images).shape == (3, 7)
    assert extractor.digest == hashlib.sha256(weights.read_bytes()).hexdigest()
    with (code / "small_transformer.py").open("a") as file:
        file.write("# otherwise")
    assert load_extractor(evaluation("dinov2")).code != extractor.code
    sys.modules.pop("small_transformer")


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


CIFAR10 = Path("~/cifar10").expanduser()
WEIGHTS = Path(torch.hub.get_dir()) / "checkpoints" / pretrained.SOURCES["inception"].file


@pytest.mark.skipif(
    not (WEIGHTS.exists() and CIFAR10.exists()),
    reason="needs FID's weights in torch hub's cache and CIFAR-10 in ~/cifar10",
)
@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_the_golden_fid_of_cifar10() -> None:
    """The first 5,000 real images of each part against the other, as torch-fidelity scores them."""
    extractor = load_extractor(evaluation("inception", WEIGHTS))
    parts = [CIFAR10Set(CIFAR10, train=train).data[:5000] for train in (True, False)]
    train, test = (extractor(torch.from_numpy(p).permute(0, 3, 1, 2)) for p in parts)
    assert frechet_distance(GaussianStatistics.of(test), train) == pytest.approx(10.3233, abs=1e-4)
