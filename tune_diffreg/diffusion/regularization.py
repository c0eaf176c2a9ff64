"""Residual dropout, attention dropout and stochastic depth, applied from outside.

diffusers' U-Net knows dropout in its residual blocks alone. The others are put on its modules
without changing its state dict, so that the weights load anywhere. All act in training mode only.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers import UNet2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn
from torchvision.ops import stochastic_depth

from tune_diffreg.study import Regularization


def regularize(unet: UNet2DModel, settings: Regularization) -> None:
    """Gives `unet` the knobs of `settings`; with all of them 0 it stays what it was."""
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            module.dropout.p = settings.residual_dropout
            _drop_branch(module.conv2, settings.stochastic_depth)
        elif isinstance(module, Attention):
            module.to_out[-1].p = settings.attention_dropout
            _drop_branch(module.to_out[-1], settings.stochastic_depth)


def _drop_branch(last: nn.Module, probability: float) -> None:
    """Stochastic depth (Huang et al. 2016) for the residual branch that ends in `last`.

    An image skips the branch with `probability`; a branch that is kept is scaled up, so that
    its mean stays and sampling needs no change.
    """
    if probability == 0:
        return

    def drop(module: nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
        kept: torch.Tensor = stochastic_depth(output, probability, "row", module.training)
        return kept

    last.register_forward_hook(drop)
