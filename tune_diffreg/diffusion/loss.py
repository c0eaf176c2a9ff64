"""The denoising loss: what training minimises, and the same on a fixed bank of draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from diffusers import DDIMScheduler

from tune_diffreg.images import Images
from tune_diffreg.seeds import generator
from tune_diffreg.study import Diffusion

# Draws for a loss on a fixed bank: enough that its error is far below the effect of a knob.
BANK_DRAWS = 1024
BANDS = 4
"""Quarters of the timesteps, least noise first (as improved-diffusion's loss quartiles)."""

# Bounds what scoring takes of the device: 256 images of 32 pixels a side, fewer larger ones.
_SCORED_PIXELS = 256 * 32 * 32
_MOST_SCORED = 256

Predict = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Noisy images `(N, C, H, W)` and timesteps `(N,)` to predictions, float32."""


def to_model_range(images: torch.Tensor) -> torch.Tensor:
    """uint8 pixels to float in [-1, 1]."""
    return images.float() / 127.5 - 1


def scoring_batch(shape: Sequence[int]) -> int:
    """How many images `(..., H, W)` the network is given at once where nothing is learned."""
    return max(1, min(_MOST_SCORED, _SCORED_PIXELS // (shape[-2] * shape[-1])))


def prediction_loss(
    predict: Predict,
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
    predicted = predict(noisy, timesteps)
    if scheduler.config.prediction_type == "v_prediction":
        target = scheduler.get_velocity(images, noise, timesteps)
    else:
        target = noise
    error: torch.Tensor = predicted - target
    return error.square().mean(dim=(1, 2, 3))


def loss_weights(diffusion: Diffusion, alphas_cumprod: torch.Tensor) -> torch.Tensor | None:
    """Weight of each timestep in the training loss, `(T,)`; None where all weigh 1.

    Min-SNR (Hang et al. 2023, section 3.4): min(SNR, γ) on the error of the clean image, which is
    min(SNR, γ)/SNR on that of ε and min(SNR, γ)/(SNR + 1) on that of v.
    """
    if diffusion.loss_weighting == "uniform":
        return None
    snr = alphas_cumprod / (1 - alphas_cumprod)
    clamped = snr.clamp(max=diffusion.min_snr_gamma)
    return clamped / (snr + 1 if diffusion.prediction_type == "v_prediction" else snr)


@torch.no_grad()
def denoising_loss(
    predict: Predict,
    scheduler: DDIMScheduler,
    images: Images,
    device: torch.device,
) -> torch.Tensor:
    """Loss over a fixed bank of (image, timestep, noise), equal for every trial, unweighted.

    Timesteps are spread evenly over the bank, and images are taken in turn.

    Args:
        images: `(N, C, H, W) uint8`, on the CPU.
        device: the model's.

    Returns:
        Mean loss of each noise band, `(BANDS,) float64` on the CPU.
    """
    timesteps, batch_size = scheduler.config.num_train_timesteps, scoring_batch(images.shape)
    draws = torch.arange(BANK_DRAWS)
    # A golden-ratio walk visits all noise levels evenly, in step with no cycle of images.
    t = ((draws * 0.6180339887498949) % 1 * timesteps).long()
    losses = []
    for start, (chosen, times) in enumerate(
        zip(draws.split(batch_size), t.split(batch_size), strict=True)
    ):
        draw = generator(0, "loss bank", start * batch_size)
        noise = torch.randn((len(chosen), *images.shape[1:]), generator=draw).to(device)
        clean = to_model_range(images[chosen % len(images)].to(device))
        losses.append(prediction_loss(predict, scheduler, clean, noise, times.to(device)))
    by_draw = torch.cat(losses).double().cpu()
    band = t * BANDS // timesteps
    return torch.stack([by_draw[band == number].mean() for number in range(BANDS)])
