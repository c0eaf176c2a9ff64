"""Noise schedules, each a function t -> alphas_cumprod, and the betas that diffusers takes.

Time u runs from 1/T to 1 over the T steps of the forward process. All in float64.
"""

from __future__ import annotations

import math

import torch
from diffusers import DDIMScheduler

from tune_diffreg.study import Diffusion, Schedule

MAX_BETA = 0.999  # Improved DDPM, section 3.2: no singularity at the last step


def linear(timesteps: int) -> torch.Tensor:
    """DDPM (Ho et al. 2020): betas from 1e-4 to 0.02 over 1,000 steps, scaled to T steps."""
    scale = 1000 / timesteps
    betas = torch.linspace(
        scale * 1e-4, min(scale * 0.02, MAX_BETA), timesteps, dtype=torch.float64
    )
    return torch.cumprod(1 - betas, 0)


def cosine(timesteps: int, offset: float = 0.008) -> torch.Tensor:
    """Improved DDPM (Nichol & Dhariwal 2021), equation 17."""
    u = torch.arange(timesteps + 1, dtype=torch.float64) / timesteps
    f = torch.cos((u + offset) / (1 + offset) * math.pi / 2) ** 2
    return f[1:] / f[0]


def sigmoid(timesteps: int, start: float = -3, end: float = 3, tau: float = 1) -> torch.Tensor:
    """Sigmoid in alphas_cumprod (Jabri et al. 2022, algorithm 1; Chen 2023, code 1)."""
    u = torch.arange(1, timesteps + 1, dtype=torch.float64) / timesteps
    first, last = (torch.sigmoid(torch.tensor(x / tau, dtype=torch.float64)) for x in (start, end))
    return (last - torch.sigmoid((u * (end - start) + start) / tau)) / (last - first)


def hybrid(timesteps: int, blend: float) -> torch.Tensor:
    """Linear (blend 0) and cosine (blend 1) averaged in log-SNR."""
    log_snr = torch.lerp(_log_snr(linear(timesteps)), _log_snr(cosine(timesteps)), blend)
    return torch.sigmoid(log_snr)


def shifted(alphas_bar: torch.Tensor, shift: float) -> torch.Tensor:
    """The schedule with `shift` added to its log-SNR (Hoogeboom et al. 2023, section 2.1)."""
    return torch.sigmoid(_log_snr(alphas_bar) + shift)


def alphas_cumprod(schedule: Schedule, timesteps: int) -> torch.Tensor:
    """The schedule as its formula gives it, `(T,) float64`, before the bound on beta."""
    named = {"linear": linear, "cosine": cosine, "sigmoid": sigmoid}
    if schedule.name == "hybrid":
        alphas_bar = hybrid(timesteps, schedule.blend)
    else:
        alphas_bar = named[schedule.name](timesteps)
    return shifted(alphas_bar, schedule.shift) if schedule.shift else alphas_bar


def betas(schedule: Schedule, timesteps: int) -> list[float]:
    """The schedule as betas, at most `MAX_BETA`: what `trained_betas` of diffusers takes."""
    alphas_bar = alphas_cumprod(schedule, timesteps).clamp(min=0)
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas_bar[:-1]])
    steps: list[float] = (1 - alphas_bar / before).clamp(0, MAX_BETA).tolist()
    return steps


def ddim_scheduler(diffusion: Diffusion) -> DDIMScheduler:
    """Deterministic sampling through diffusers; its `alphas_cumprod` also serve in training.

    Trailing spacing starts at the last timestep, where training ends too (Lin et al. 2023).
    """
    return DDIMScheduler(
        num_train_timesteps=diffusion.timesteps,
        trained_betas=betas(diffusion.schedule, diffusion.timesteps),
        prediction_type=diffusion.prediction_type,
        timestep_spacing="trailing",
        clip_sample=True,
    )


def _log_snr(alphas_bar: torch.Tensor) -> torch.Tensor:
    # The cosine ends at 0, where log-SNR is minus infinity; the bound on beta ends it here.
    bounded = alphas_bar.clamp(min=1e-9)
    return torch.log(bounded) - torch.log1p(-bounded)
