"""Deterministic DDIM sampling through diffusers, with one generator an image."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, UNet2DModel


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


@torch.inference_mode()
def sample(
    model: UNet2DModel,
    scheduler: DDIMScheduler,
    noise: torch.Tensor,
    steps: int,
    batch_size: int = 256,
) -> torch.Tensor:
    """Images `(N, C, H, W) uint8` on the CPU, denoised from `noise` of the same shape."""
    scheduler.set_timesteps(steps)
    finished = []
    for batch in noise.split(batch_size):
        images = batch.to(model.device)
        for t in scheduler.timesteps:
            images = scheduler.step(model(images, t).sample, t, images).prev_sample
        # Rounded as diffusers' pipelines do before they hand out pictures.
        finished.append(((images / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).cpu())
    return torch.cat(finished)
