"""Deterministic DDIM sampling through diffusers, with one generator an image."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler

from tune_diffreg.diffusion.loss import Predict


def latents(first: int, count: int, shape: tuple[int, ...]) -> torch.Tensor:
    """Starting noise `(count, *shape)`; image i depends on the seed `first` + i alone.

    Every trial starts from the same latents whatever its batch size or device, so that the
    difference of two scores holds less luck. diffusers draws the same for a list of generators.
    """
    return torch.cat(
        [
            torch.randn((1, *shape), generator=torch.Generator().manual_seed(seed))
            for seed in range(first, first + count)
        ]
    )


@torch.no_grad()
def sample(
    predict: Predict,
    scheduler: DDIMScheduler,
    noise: torch.Tensor,
    steps: int,
    batch_size: int = 256,
) -> torch.Tensor:
    """Images `(N, C, H, W) uint8` on the CPU, denoised from `noise` of the same shape.

    Args:
        noise: on the model's device.
    """
    scheduler.set_timesteps(steps)
    finished = []
    for batch in noise.split(batch_size):
        images = _filled(batch, min(batch_size, len(noise)))
        for t in scheduler.timesteps:
            predicted = predict(images, t.to(noise.device).expand(len(images)))
            images = scheduler.step(predicted, t, images).prev_sample
        images = images[: len(batch)]
        # Rounded as diffusers' pipelines do before they hand out pictures.
        finished.append(((images / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).cpu())
    return torch.cat(finished)


def _filled(batch: torch.Tensor, size: int) -> torch.Tensor:
    """The last batch filled up by repeating, so that all have one shape and one compiled graph."""
    if len(batch) == size:
        return batch
    return batch[torch.arange(size) % len(batch)]
