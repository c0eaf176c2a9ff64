"""Networks that others trained: weights are verified, features those of torch-fidelity."""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch_fidelity.feature_extractor_clip import CLIPVisual, FeatureExtractorCLIP
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
from torchvision.datasets import CIFAR10 as CIFAR10Set

from tests.evaluation.test_features import evaluation
from tune_diffreg.errors import InputError
from tune_diffreg.evaluation import (
    FeatureExtractor,
    GaussianStatistics,
    digits_cnn,
    frechet_distance,
    load_extractor,
    pretrained,
    reference_file,
)


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch hub's cache is an empty folder."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


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
