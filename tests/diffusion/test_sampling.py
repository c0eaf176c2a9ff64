"""Samplers on a denoiser that is known exactly, and what is asked of all of them."""

from __future__ import annotations

import pytest
import torch

from tests.conftest import tiny_study
from tune_diffreg.diffusion import ddim_scheduler, latents, sample, sampling_scheduler
from tune_diffreg.diffusion.loss import Predict

SAMPLERS = ("ddim", "dpmsolver++", "heun")
MEAN, SPREAD = 0.2, 0.3


def perfect(alphas_cumprod: torch.Tensor, prediction_type: str) -> Predict:
    """The best prediction for pixels that are independent and normal."""

    def predict(noisy: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        # Heun asks between the timesteps too.
        low = timesteps.floor().long()
        high = (low + 1).clamp(max=len(alphas_cumprod) - 1)
        share = timesteps - low
        log_snr = torch.logit(alphas_cumprod.double())
        alpha = torch.sigmoid(log_snr[low] + share * (log_snr[high] - log_snr[low]))
        alpha = alpha.float().view(-1, 1, 1, 1)
        signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
        shrink = signal * SPREAD**2 / (alpha * SPREAD**2 + 1 - alpha)
        clean = MEAN + shrink * (noisy - signal * MEAN)
        epsilon = (noisy - signal * clean) / noise
        return epsilon if prediction_type == "epsilon" else signal * epsilon - noise * clean

    return predict


def spread(sampler: str, prediction_type: str, steps: int) -> float:
    """Of generated pixels, over that of the data; their mean is checked."""
    study = tiny_study(
        f"diffusion.prediction_type={prediction_type}", "diffusion.schedule.name=linear"
    )
    ddim = ddim_scheduler(study.diffusion)
    denoise = perfect(ddim.alphas_cumprod, prediction_type)
    scheduler = sampling_scheduler(sampler, ddim)
    images = sample(denoise, scheduler, latents(0, 64, (1, 8, 8)), steps).float() / 127.5 - 1
    assert images.mean().item() == pytest.approx(MEAN, abs=0.01)
    return images.std().item() / SPREAD


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_perfect_denoiser_gives_the_data_s_distribution(
    sampler: str, prediction_type: str
) -> None:
    assert spread(sampler, prediction_type, 250) == pytest.approx(1, abs=0.04)


def test_solvers_of_higher_order_are_nearer_with_few_steps() -> None:
    few = {sampler: 1 - spread(sampler, "epsilon", 50) for sampler in SAMPLERS}
    assert 0 < few["dpmsolver++"] < few["ddim"] / 2
    assert 0 < few["heun"] < few["ddim"] / 2


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_batch_shows_in_what_another_is_given(sampler: str) -> None:
    ddim = ddim_scheduler(tiny_study().diffusion)
    denoise = perfect(ddim.alphas_cumprod, "epsilon")
    noise = latents(5, 10, (1, 8, 8))
    whole = sample(denoise, sampling_scheduler(sampler, ddim), noise, 10)
    parts = sample(denoise, sampling_scheduler(sampler, ddim), noise, 10, batch_size=4)
    # Rounding of another batch may move a pixel by one.
    assert (whole.int() - parts.int()).abs().max() <= 1
    assert torch.equal(whole, sample(denoise, sampling_scheduler(sampler, ddim), noise, 10))
