"""The sampler of an exported pipeline, which need not be the one that was scored with."""

from __future__ import annotations

from typing import Any

from tune_diffreg.diffusion import sampling_scheduler
from tune_diffreg.diffusion.schedule import ddim_scheduler
from tune_diffreg.study import TrialConfig

_NOT_IN_PIPELINES = ("heun",)
"""Whose input is to be scaled, which diffusers' unconditional pipelines do not do."""


def exported_scheduler(config: TrialConfig) -> Any:
    """The sampler that the scores were taken with, or DDIM where no pipeline can run that."""
    ddim = ddim_scheduler(config.diffusion)
    sampler = config.evaluation.sampler
    return ddim if sampler in _NOT_IN_PIPELINES else sampling_scheduler(sampler, ddim)


def other_sampler(config: TrialConfig) -> str | None:
    """What to say where the exported pipeline has another sampler than the scores."""
    sampler = config.evaluation.sampler
    if sampler not in _NOT_IN_PIPELINES:
        return None
    return (
        f"The scores were taken with {sampler}, which diffusers' unconditional pipelines cannot "
        "run; the exported pipeline samples with DDIM, so its images are not those of the scores."
    )
