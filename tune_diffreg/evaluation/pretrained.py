"""Networks that others trained, through torch-fidelity, with weights that are verified.

Nothing is downloaded: weights lie where a setting says or where torch-fidelity would keep them, and
another file than the one that the field's figures were made with is refused.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.sources import code_sha256
from tune_diffreg.factory import in_a_line

_BATCH = 64
_DINOV2_CODE = "facebookresearch_dinov2_main"


@dataclass(frozen=True)
class Source:
    """Where a network's weights come from.

    Attributes:
        file: its name in torch hub's cache.
        origin: who hands it out, for people.
        sha256: of the file.
        build: path of the verified file to the network, torch-fidelity's.
    """

    file: str
    origin: str
    sha256: str
    build: Callable[[Path], nn.Module]


class PretrainedFeatures:
    """Features of RGB images (gray ones are repeated), float32.

    Args:
        name: one of `SOURCES`.
        weights: the file; None looks in torch hub's cache.

    Raises:
        InputError: the weights are absent, are another file, or cannot be read.
    """

    dtype = torch.float32

    def __init__(self, name: str, weights: Path | None) -> None:
        source = SOURCES[name]
        self.name = name
        path = weights or _hub() / "checkpoints" / source.file
        if not path.is_file():
            raise InputError(
                f"evaluation.features {name}: the weights are not at {path}; put {source.file} "
                f"from {source.origin} there, or name another place in evaluation.weights"
            )
        self.digest = _sha256(path)
        if self.digest != source.sha256:
            raise InputError(
                f"evaluation.weights: {path} is not {source.file}: its SHA-256 starts with "
                f"{self.digest[:8]}, not {source.sha256[:8]}; it may have been cut short"
            )
        try:
            self._network: Any = source.build(path)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"evaluation.weights: {path}: {in_a_line(error)}") from None
        # Images are prepared by torch-fidelity, and DINOv2's code is whatever lies in the cache.
        of_torch_fidelity = f"torch-fidelity {version('torch-fidelity')}"
        self.code = f"{of_torch_fidelity}, {code_sha256(self._network, __name__)}"

    def to(self, device: torch.device) -> None:
        """Moves the network."""
        self._network.to(device)

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        device = next(self._network.parameters()).device
        batches = images.expand(-1, 3, -1, -1).split(_BATCH)
        return torch.cat([self._network(batch.to(device))[0].cpu() for batch in batches])


def _inception(path: Path) -> nn.Module:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network: nn.Module = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
    )
    return network


def _clip(path: Path) -> nn.Module:
    from torch_fidelity.feature_extractor_clip import FeatureExtractorCLIP

    network: nn.Module = FeatureExtractorCLIP(
        "clip-vit-l-14", ["clip"], feature_extractor_weights_path=str(path)
    )
    return network.eval()


def _dinov2(path: Path) -> nn.Module:
    """torch-fidelity's preparation of images, about the network that the repository defines."""
    from torch_fidelity.feature_extractor_base import FeatureExtractorBase
    from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

    code = _hub() / _DINOV2_CODE
    if not (code / "hubconf.py").is_file():
        raise InputError(
            f"evaluation.features dinov2: the network's code is not at {code}; put the repository "
            "facebookresearch/dinov2 there, as torch.hub does"
        )

    class Local(FeatureExtractorDinoV2):  # type: ignore[misc]  # torch-fidelity has no types
        """torch-fidelity's own `__init__` takes neither code nor weights from the disk."""

        def __init__(self) -> None:
            FeatureExtractorBase.__init__(self, "dinov2-vit-l-14", ["dinov2"])
            self.feature_extractor_internal_dtype = torch.float32
            # As there; DINOv2's code reads it when it is imported.
            os.environ["XFORMERS_DISABLED"] = "1"
            self.model = torch.hub.load(
                str(code), "dinov2_vitl14", source="local", pretrained=False
            )
            self.model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
            self.requires_grad_(False).eval()

    network: nn.Module = Local()
    return network


SOURCES = {
    # FID is defined with these weights; torch-fidelity converted them from TensorFlow.
    "inception": Source(
        "weights-inception-2015-12-05-6726825d.pth",
        "torch-fidelity's releases",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        _inception,
    ),
    "clip": Source(
        "clip-vit-l-14-b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836.pt",
        "OpenAI's CLIP (ViT-L/14)",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        _clip,
    ),
    # The network of Stein et al. 2023, who found it nearest to what people see.
    "dinov2": Source(
        "dinov2_vitl14_pretrain.pth",
        "Meta's DINOv2 (ViT-L/14)",
        "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
        _dinov2,
    ),
}


def _hub() -> Path:
    return Path(torch.hub.get_dir())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
