"""Telling the network what was done to an image, so that it need not learn to generate it.

As in EDM (Karras et al. 2022, appendix F.2): a linear map without bias from the augmentation's
numbers is added to the embedding of the noise level. All 0 adds nothing; sampling uses a model that
never had the map.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from diffusers import DiTTransformer2DModel, UNet2DModel
from torch import nn

from tune_diffreg.diffusion.augmentation import LABELS
from tune_diffreg.errors import InputError
from tune_diffreg.seeds import generator

# Large enough that the network tells from the first step on what was done. Begun at 0 it took twice
# as many images on digits until as few mirror images leaked into samples.
_INITIAL = 0.3


class AugmentationEmbedding(nn.Module):
    """Hooks itself into the noise embeddings of `model`; its weights are its own, not the model's.

    Raises:
        InputError: the model does not say where its noise level is embedded.
    """

    labels: torch.Tensor

    def __init__(self, model: nn.Module, batch_size: int, seed: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList()
        self.register_buffer("labels", torch.zeros(batch_size, LABELS), persistent=False)
        for module in noise_embeddings(model):
            width = [m for m in module.modules() if isinstance(m, nn.Linear)][-1].out_features
            linear = nn.Linear(LABELS, width, bias=False)
            self.maps.append(linear)
            module.register_forward_hook(self._adding(linear))
        self.reset(seed)

    @torch.no_grad()
    def reset(self, seed: int) -> None:
        """As it is before training; the weights depend on `seed` alone."""
        self.labels.zero_()
        draw = generator(seed, "weights of the augmentation embedding")
        for parameter in self.parameters():
            parameter.copy_(_INITIAL * torch.randn(parameter.shape, generator=draw))

    def tell(self, labels: torch.Tensor) -> None:
        """Sets what was done to the next batch, `(N, LABELS)`."""
        self.labels.copy_(labels)

    def _adding(self, linear: nn.Linear) -> Any:
        def add(_: nn.Module, __: Any, output: torch.Tensor) -> torch.Tensor:
            labels: torch.Tensor = self.labels
            added: torch.Tensor = output + linear(labels).to(output.dtype)
            return added

        return add


def noise_embeddings(model: Any) -> list[nn.Module]:
    """Modules of `model` whose output `(N, width)` is the embedding of the noise level.

    A model of one's own says it with a method `noise_embeddings() -> Iterable[nn.Module]`.

    Raises:
        InputError: it does not.
    """
    if isinstance(model, UNet2DModel):
        return [model.time_embedding]
    if isinstance(model, DiTTransformer2DModel):
        return [block.norm1.emb for block in model.transformer_blocks]
    if not hasattr(model, "noise_embeddings"):
        raise InputError(
            "augmentation.conditional: the model does not say where its noise level is embedded; "
            f"give {type(model).__name__} a method noise_embeddings() that returns those modules"
        )
    found: Iterable[nn.Module] = model.noise_embeddings()
    return list(found)
