"""The denoiser: diffusers' U-Net, plain, so that plain diffusers loads what we train."""

from __future__ import annotations

import torch
from diffusers import UNet2DModel

from tune_diffreg.seeds import derive
from tune_diffreg.study import Model


def build_unet(model: Model, seed: int) -> UNet2DModel:
    """A freshly initialised U-Net whose weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "initial weights"))
        return UNet2DModel(out_channels=model.in_channels, **model.model_dump())
