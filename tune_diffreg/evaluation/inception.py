"""Inception-v3 features as FID means them: torch-fidelity's network and its verified weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch

from tune_diffreg.errors import InputError

WEIGHTS_FILE = "weights-inception-2015-12-05-6726825d.pth"
# The file is named after its hash, as torch.hub names files.
_DIGEST_PREFIX = "6726825d"


class InceptionFeatures:
    """2048 features of an RGB image; `weights` None looks in torch hub's cache.

    Raises:
        InputError: the weights are absent or are not the file that FID is defined with.
    """

    name = "inception"

    def __init__(self, weights: Path | None) -> None:
        path = weights or Path(torch.hub.get_dir()) / "checkpoints" / WEIGHTS_FILE
        if not path.is_file():
            raise InputError(
                f"evaluation.features inception: the weights are not at {path}; put "
                f"{WEIGHTS_FILE} from torch-fidelity's releases there, or name another place in "
                "evaluation.weights"
            )
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if not self.digest.startswith(_DIGEST_PREFIX):
            raise InputError(
                f"evaluation.weights: {path} is not {WEIGHTS_FILE}: its SHA-256 starts with "
                f"{self.digest[:8]}, not {_DIGEST_PREFIX}"
            )
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        self._network = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path)
        )

    def to(self, device: torch.device) -> None:
        """Moves the network."""
        self._network.to(device)

    @torch.inference_mode()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        device = next(self._network.parameters()).device
        batches = images.expand(-1, 3, -1, -1).split(64)
        features = [self._network(batch.to(device))[0].cpu() for batch in batches]
        return torch.cat(features).double()
