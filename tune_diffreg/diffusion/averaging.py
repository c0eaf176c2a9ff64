"""Exponential moving averages of the weights, of several lengths at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import nn


class Averages:
    """One average of the weights for each decay, kept beside the training.

    Args:
        weights: the parameters that are averaged; the averages start from their values.
        decays: a step, each in [0, 1).
    """

    def __init__(self, weights: Iterable[nn.Parameter], decays: Sequence[float]) -> None:
        self.decays = tuple(decays)
        self._weights: list[torch.Tensor] = list(weights)
        self._averages = [[w.detach().clone() for w in self._weights] for _ in self.decays]

    @torch.no_grad()
    def update(self, steps: int) -> None:
        """Moves each average towards the weights after `steps` steps."""
        for decay, average in zip(self.decays, self._averages, strict=True):
            # Early on the average must not cling to the initial weights; TensorFlow's rule.
            warmed_up = min(decay, (1 + steps) / (10 + steps))
            torch._foreach_lerp_(average, self._weights, 1 - warmed_up)

    @torch.no_grad()
    def copy_to(self, model: nn.Module, index: int) -> None:
        """Gives `model` the average of decay `index`."""
        torch._foreach_copy_(list(model.parameters()), self._averages[index])

    def state_dict(self) -> list[list[torch.Tensor]]:
        return self._averages

    @torch.no_grad()
    def load_state_dict(self, state: list[list[torch.Tensor]]) -> None:
        for average, saved in zip(self._averages, state, strict=True):
            torch._foreach_copy_(average, saved)
