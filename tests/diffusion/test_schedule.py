"""Each schedule against its formula, and against what diffusers makes of its betas."""

from __future__ import annotations

import math

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

from tune_diffreg.diffusion.schedule import MAX_BETA, alphas_cumprod, betas, ddim_scheduler
from tune_diffreg.study import Diffusion, Schedule

T = 1000
SCHEDULES = [
    Schedule(name="linear"),
    Schedule(name="cosine"),
    Schedule(name="sigmoid"),
    Schedule(name="hybrid", blend=0.3),
    Schedule(name="cosine", shift=-1.5),
]
EVERY = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s.name)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def by_formula(schedule: Schedule, t: int) -> float:
    """alphas_cumprod after t of T steps, written out with `math` alone."""
    if schedule.shift:
        alpha = by_formula(schedule.model_copy(update={"shift": 0.0}), t)
        return sigmoid(math.log(alpha / (1 - alpha)) + schedule.shift)
    if schedule.name == "linear":
        return math.prod(1 - (1e-4 + (0.02 - 1e-4) * i / (T - 1)) for i in range(t))
    if schedule.name == "cosine":
        f = [math.cos((u / T + 0.008) / 1.008 * math.pi / 2) ** 2 for u in (t, 0)]
        return f[0] / f[1]
    if schedule.name == "sigmoid":
        return (sigmoid(3) - sigmoid(t / T * 6 - 3)) / (sigmoid(3) - sigmoid(-3))
    pair = [by_formula(Schedule(name=name), t) for name in ("linear", "cosine")]
    low, high = (math.log(a / (1 - a)) for a in pair)
    return sigmoid(low + schedule.blend * (high - low))


@EVERY
def test_alphas_cumprod_are_those_of_the_formula(schedule: Schedule) -> None:
    ours = alphas_cumprod(schedule, T)
    for t in (1, 2, 10, 250, 500, 900, 990):
        assert ours[t - 1].item() == pytest.approx(by_formula(schedule, t), rel=1e-9)


@EVERY
def test_diffusers_schedulers_take_the_betas_and_give_the_same_alphas(schedule: Schedule) -> None:
    trained = betas(schedule, T)
    assert all(0 <= beta <= MAX_BETA for beta in trained)
    for kind in (DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler):
        theirs = kind(num_train_timesteps=T, trained_betas=trained).alphas_cumprod
        # The last steps are bounded by MAX_BETA on purpose.
        torch.testing.assert_close(
            theirs[:980].double(), alphas_cumprod(schedule, T)[:980], rtol=2e-4, atol=1e-7
        )
        assert theirs[-1] < 1e-3


@EVERY
def test_noise_only_grows(schedule: Schedule) -> None:
    assert (alphas_cumprod(schedule, T).diff() < 0).all()


def test_a_shift_below_zero_is_more_noise() -> None:
    plain, shifted = (
        alphas_cumprod(Schedule(name="cosine", shift=shift), T) for shift in (0.0, -1.5)
    )
    assert (shifted[:-1] < plain[:-1]).all()


def test_hybrid_ends_at_linear_and_at_cosine() -> None:
    for blend, name in ((0.0, "linear"), (1.0, "cosine")):
        torch.testing.assert_close(
            alphas_cumprod(Schedule(name="hybrid", blend=blend), T)[:-1],
            alphas_cumprod(Schedule(name=name), T)[:-1],
            rtol=1e-6,
            atol=1e-8,
        )


def test_the_scheduler_survives_its_configuration() -> None:
    scheduler = ddim_scheduler(Diffusion(prediction_type="v_prediction", schedule=SCHEDULES[3]))
    again = DDIMScheduler.from_config(scheduler.config)
    assert torch.equal(again.betas, scheduler.betas)
    assert again.config.prediction_type == "v_prediction"
