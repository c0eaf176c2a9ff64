"""AdamW with decay where decay belongs, and the learning rate's warm-up."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from tune_diffreg.study import Optimizer


def build_optimizer(models: Iterable[nn.Module], settings: Optimizer) -> torch.optim.AdamW:
    """AdamW whose weight decay acts on matrices and kernels alone, not on norms and biases.

    The time embedding of the U-Net is fixed (sinusoidal), so no embedding table has to be spared;
    one that a model brings is.
    """
    modules = [module for model in models for module in model.modules()]
    embeddings = {id(p) for m in modules if isinstance(m, nn.Embedding) for p in m.parameters()}
    parameters = {id(p): p for model in modules for p in model.parameters(recurse=False)}
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for key, parameter in parameters.items():
        (spared if parameter.ndim < 2 or key in embeddings else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)


def warmed_up(settings: Optimizer, images_seen: int) -> float:
    """The learning rate of the step after which `images_seen` images have been seen."""
    if images_seen >= settings.warmup:
        return settings.learning_rate
    return settings.learning_rate * images_seen / settings.warmup
