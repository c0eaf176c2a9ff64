"""The denoiser: diffusers' U-Net, plain, so that plain diffusers loads it, or one's own model."""

from __future__ import annotations

import torch
from diffusers import DiTTransformer2DModel, UNet2DModel
from torch import nn

from tune_diffreg.errors import InputError
from tune_diffreg.factory import call_factory, in_a_line
from tune_diffreg.seeds import derive
from tune_diffreg.study import Model


def build_model(model: Model, seed: int) -> nn.Module:
    """A freshly initialised model whose weights depend on `seed` alone.

    Raises:
        InputError: the factory cannot be imported, fails, or returns no module.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "initial weights"))
        if model.factory is None:
            unet: nn.Module = UNet2DModel(out_channels=model.in_channels, **model.unet_arguments)
            return unet
        return _from_factory(model, model.factory)


def predict(model: nn.Module, noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
    """The model's prediction for `noisy` `(N, C, H, W)` at `timesteps` `(N,)`.

    A model of one's own is called with these two and returns a tensor, or an object that has it as
    `sample`, as diffusers' do.
    """
    if isinstance(model, DiTTransformer2DModel):
        output = model(noisy, timesteps, torch.zeros_like(timesteps))  # of one class, all
    else:
        output = model(noisy, timesteps)
    predicted = output if isinstance(output, torch.Tensor) else getattr(output, "sample", None)
    if not isinstance(predicted, torch.Tensor):
        raise TypeError(f"the model returned a {type(output).__name__}, not a tensor")
    return predicted


@torch.no_grad()
def try_out(model: nn.Module, settings: Model) -> None:
    """Calls a model of one's own once, on the CPU.

    Raises:
        InputError: it cannot be called as a denoiser, or returns another shape.
    """
    shape = (2, settings.in_channels, settings.sample_size, settings.sample_size)
    try:
        output = predict(model, torch.zeros(shape), torch.tensor([0, 1]))
    except Exception as error:
        raise InputError(
            f"model.factory {settings.factory}: the model cannot be called with images "
            f"{shape} and timesteps (2,): {in_a_line(error)}"
        ) from None
    if tuple(output.shape) != shape:
        raise InputError(
            f"model.factory {settings.factory}: for images {shape} the model returns "
            f"{tuple(output.shape)}; a denoiser returns what it was given in shape"
        )


def _from_factory(model: Model, factory: str) -> nn.Module:
    arguments = {"in_channels": model.in_channels, "sample_size": model.sample_size}
    built = call_factory("model.factory", factory, {**arguments, **model.arguments})
    if not isinstance(built, nn.Module):
        raise InputError(
            f"model.factory {factory} returned {type(built).__name__}, not a torch.nn.Module"
        )
    return built
