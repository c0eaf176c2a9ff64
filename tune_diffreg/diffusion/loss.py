"""The denoising loss: what training minimises, and the same on a fixed bank of draws."""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler
from torch import nn

from tune_diffreg.seeds import generator

# Draws for a loss on a fixed bank: enough that its error is far below the effect of a knob.
BANK_DRAWS = 1024


def to_model_range(images: torch.Tensor) -> torch.Tensor:
    """uint8 pixels to float in [-1, 1]."""
    return images.float() / 127.5 - 1


def prediction_loss(
    model: nn.Module,
    scheduler: DDIMScheduler,
    images: torch.Tensor,
    noise: torch.Tensor,
    timesteps: torch.Tensor,
) -> torch.Tensor:
    """Squared error of each image's prediction, `(N,)` (DDPM, equation 14; v: Salimans & Ho 2022).

    Args:
        images: clean, `(N, C, H, W)` in [-1, 1].
        noise: of the same shape, standard normal.
        timesteps: `(N,)` integers in [0, T).
    """
    noisy = scheduler.add_noise(images, noise, timesteps)
    predicted = model(noisy, timesteps).sample
    if scheduler.config.prediction_type == "v_prediction":
        target = scheduler.get_velocity(images, noise, timesteps)
    else:
        target = noise
    error: torch.Tensor = predicted - target
    return error.square().mean(dim=(1, 2, 3))


@torch.inference_mode()
def denoising_loss(
    model: nn.Module, scheduler: DDIMScheduler, images: torch.Tensor, batch_size: int = 256
) -> float:
    """Mean loss over a fixed bank of (image, timestep, noise), equal for every trial.

    Timesteps are spread evenly over the bank, and images are taken in turn.

    Args:
        images: `(N, C, H, W) uint8`, on the model's device.
    """
    total = 0.0
    timesteps = scheduler.config.num_train_timesteps
    for start in range(0, BANK_DRAWS, batch_size):
        draws = torch.arange(start, min(start + batch_size, BANK_DRAWS))
        draw = generator(0, "loss bank", start)
        noise = torch.randn((len(draws), *images.shape[1:]), generator=draw).to(images.device)
        # A golden-ratio walk visits all noise levels evenly, in step with no cycle of images.
        t = ((draws * 0.6180339887498949) % 1 * timesteps).long().to(images.device)
        clean = to_model_range(images[draws.to(images.device) % len(images)])
        total += prediction_loss(model, scheduler, clean, noise, t).sum().item()
    return total / BANK_DRAWS
