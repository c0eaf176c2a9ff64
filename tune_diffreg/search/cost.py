"""What one trial costs on this machine, by a few steps of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.search.trial import Materials, Trial, device_for
from tune_diffreg.study import Resources, TrialConfig

_WARM_UP_STEPS = 3  # compiling, and the allocator's first requests
_SECONDS = 2.0
_MOST_STEPS = 200
_SAID = 300


@dataclass(frozen=True)
class Cost:
    """Of one trial, alone on its device.

    Attributes:
        images_per_second: seen in training.
        training_seconds: of a whole training, scoring left out.
        gpu_share: least share of the GPU whose memory holds the trial, its CUDA context included;
            None on a CPU.
    """

    images_per_second: float
    training_seconds: float
    gpu_share: float | None

    @property
    def trials_per_gpu(self) -> int | None:
        """How many such trials the memory of one GPU holds."""
        return None if self.gpu_share is None else max(1, int(1 / self.gpu_share + 1e-9))


def measure(config: TrialConfig, materials: Materials, resources: Resources) -> Cost:
    """Trains for a few seconds and denoises one batch, as scoring does; keeps nothing.

    On a GPU nothing else may run meanwhile, since its use of memory would be counted too.

    Raises:
        WorkFailed: a trial does not run here.
    """
    device = device_for(resources)
    try:
        return _measure(config, materials, device)
    except (InputError, WorkFailed):
        raise
    except Exception as error:  # out of memory, or no compiler
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise WorkFailed(f"a trial of this study fails on this machine: {said[:_SAID]}") from None


def _measure(config: TrialConfig, materials: Materials, device: torch.device) -> Cost:
    trial = Trial(config, materials, device)
    for _ in range(_WARM_UP_STEPS):
        trial.trainer.step()
    trial.trainer.check_finite()  # waits for the device
    start, before = time.monotonic(), trial.images_seen
    while time.monotonic() - start < _SECONDS and trial.trainer.steps < _MOST_STEPS:
        trial.trainer.step()
    trial.trainer.check_finite()
    speed = (trial.images_seen - before) / (time.monotonic() - start)
    trial.denoise(samples=config.evaluation.samples, steps=1)
    return Cost(speed, config.training.images / speed, _gpu_share(device))


def _gpu_share(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    free, whole = torch.cuda.mem_get_info(device)
    return math.ceil((whole - free) / whole * 100) / 100
