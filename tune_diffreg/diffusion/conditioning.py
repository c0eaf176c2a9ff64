"""Telling the network what was done to an image, so that it need not learn to generate it.

As in EDM (Karras et al. 2022, appendix F.2): a linear map without bias from the augmentation's
numbers is added to the embedding of the noise level. All 0 adds nothing; sampling uses a model that
never had the map.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DiTTransformer2DModel, UNet2DModel
from torch import nn

from tune_diffreg.diffusion.augmentation import LABELS
from tune_diffreg.diffusion.model import try_out
from tune_diffreg.errors import InputError
from tune_diffreg.factory import in_a_line
from tune_diffreg.seeds import generator
from tune_diffreg.study import Model

# Large enough that the network tells from the first step on what was done. Begun at 0 it took twice
# as many images on digits until as few mirror images leaked into samples.
_INITIAL = 0.3


class AugmentationEmbedding(nn.Module):
    """Hooks itself into the noise embeddings of `model`; its weights are its own, not the model's.

    Raises:
        InputError: the model does not say where its noise level is embedded.
    """

    labels: torch.Tensor

    def __init__(self, model: nn.Module, settings: Model, batch_size: int, seed: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList()
        self.register_buffer("labels", torch.zeros(batch_size, LABELS), persistent=False)
        modules = noise_embeddings(model)
        for module, width in zip(modules, _widths(model, modules, settings), strict=True):
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
    kind = type(model).__name__
    try:
        found = list(model.noise_embeddings())
    except Exception as error:
        said = in_a_line(error)
        raise InputError(
            f"augmentation.conditional: noise_embeddings() of {kind} fails: {said}"
        ) from None
    if not found or not all(isinstance(module, nn.Module) for module in found):
        raise InputError(
            f"augmentation.conditional: noise_embeddings() of {kind} must return at least one "
            "module and nothing else"
        )
    return found


@torch.no_grad()
def _widths(model: nn.Module, modules: list[nn.Module], settings: Model) -> list[int]:
    """Of what the modules return, by one prediction that leaves no trace in the model.

    Raises:
        InputError: one is not called, or returns no `(N, width)`.
    """
    shapes: dict[nn.Module, tuple[int, ...]] = {}

    def look(module: nn.Module, _: Any, output: Any) -> None:
        shapes[module] = tuple(getattr(output, "shape", ()))

    hooks = [module.register_forward_hook(look) for module in modules]
    training = model.training
    with torch.random.fork_rng(devices=[]):
        try_out(model.eval(), settings)
    model.train(training)
    for hook in hooks:
        hook.remove()
    for module in modules:
        if len(shapes.get(module, ())) != 2:
            raise InputError(
                "augmentation.conditional: noise_embeddings() names a "
                f"{type(module).__name__} that does not return one vector an image"
            )
    return [shapes[module][1] for module in modules]
