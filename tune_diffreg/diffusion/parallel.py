"""A training that several processes share: each takes its part of every batch.

All draw the whole batch's random numbers and take their part, so that together they take the step
that one process would take, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import distributed


@dataclass(frozen=True)
class Part:
    """Which of so many equal parts of a batch this process takes.

    More than one needs torch's default process group, and a batch that divides by their number.
    """

    number: int = 0
    count: int = 1

    def of(self, batch: torch.Tensor, dim: int = 0) -> torch.Tensor:
        """The part of a whole batch, whose samples lie along `dim`."""
        return batch if self.count == 1 else batch.chunk(self.count, dim)[self.number]

    @torch.no_grad()
    def average(self, tensors: Sequence[torch.Tensor]) -> None:
        """Gives each tensor its mean over all processes, in one exchange.

        Explicitly after the backward pass and not by hooks inside it, so that a compiled network
        and its CUDA graphs are those of a training by one process.
        """
        if self.count == 1:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.count
        for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def agree(self, answer: bool, device: torch.device) -> bool:
        """The first process's answer, which all must ask for alike. Waits for the device."""
        if self.count == 1:
            return answer
        told = torch.tensor([answer], dtype=torch.uint8, device=device)
        distributed.broadcast(told, 0)
        return bool(told.item())


WHOLE = Part()
"""All of every batch."""
