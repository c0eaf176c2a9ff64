"""Deterministic sampling through diffusers, with one generator an image."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, HeunDiscreteScheduler

from tune_diffreg.diffusion.loss import Predict, scoring_batch


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


def sampling_scheduler(sampler: str, ddim: DDIMScheduler) -> Any:
    """The sampler that a study names, on the schedule of `ddim`.

    All bound the predicted image, which at high noise is far off; DPM-Solver++ by its own dynamic
    threshold.
    """
    if sampler == "dpmsolver++":
        return DPMSolverMultistepScheduler.from_config(ddim.config, thresholding=True)
    if sampler == "heun":
        return HeunDiscreteScheduler.from_config(ddim.config)
    return ddim


@torch.no_grad()
def sample(
    predict: Predict,
    scheduler: Any,
    noise: torch.Tensor,
    steps: int,
    batch_size: int | None = None,
) -> torch.Tensor:
    """Images `(N, C, H, W) uint8` on the CPU, denoised from `noise` of the same shape.

    Args:
        scheduler: from `sampling_scheduler`.
        noise: on the model's device.
        batch_size: images at once; None is `scoring_batch`.
    """
    batch_size = batch_size or scoring_batch(noise.shape)
    finished = []
    for batch in noise.split(batch_size):
        scheduler.set_timesteps(steps)  # and forgets the batch before
        if (scheduler.timesteps < 0).any():  # the study file does not let them be
            raise ValueError(f"{steps} steps end below the first timestep")
        images = _filled(batch, min(batch_size, len(noise))) * scheduler.init_noise_sigma
        for t in scheduler.timesteps:
            scaled = scheduler.scale_model_input(images, t)
            predicted = predict(scaled, t.to(noise.device).expand(len(images)))
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
