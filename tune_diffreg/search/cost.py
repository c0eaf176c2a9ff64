"""What one trial costs on this machine, by a few steps of it."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from tune_diffreg.diffusion.device import (
    OF_SHARE,
    bound_memory,
    device_for,
    does_not_fit,
    is_out_of_memory,
)
from tune_diffreg.diffusion.loss import BANK_DRAWS, scoring_batch
from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.evaluation import Reference
from tune_diffreg.factory import in_a_line
from tune_diffreg.search.trial import Materials, Trial
from tune_diffreg.study import Study

_WARM_UP_STEPS = 3  # compiling, and the allocator's first requests
_SECONDS = 2.0
_MOST_STEPS = 200
_SAID = 300
_REPEATED_BYTES = 2**30
"""Of images of a whole set; of larger sets a part is timed."""


@dataclass(frozen=True)
class Cost:
    """Of one trial, alone on its device.

    Attributes:
        images_per_second: seen in training.
        training_seconds: of a whole training.
        scoring_seconds: of all its scores, at every rung and at the end.
        gpu_share: least share of the GPU whose memory holds the trial, its CUDA context included;
            None on a CPU.
    """

    images_per_second: float
    training_seconds: float
    scoring_seconds: float
    gpu_share: float | None

    @property
    def scoring_share(self) -> float:
        """Of a trial's time."""
        return self.scoring_seconds / (self.training_seconds + self.scoring_seconds)

    @property
    def trials_per_gpu(self) -> int | None:
        """How many such trials the memory of one GPU holds, each within its bound."""
        return None if self.gpu_share is None else max(1, int(OF_SHARE / self.gpu_share + 1e-9))


def measure(study: Study, materials: Materials) -> Cost:
    """Trains for a few seconds and scores one batch of images; keeps nothing.

    On a GPU nothing else may run meanwhile, since its use of memory would be counted too.

    Raises:
        WorkFailed: a trial does not run here.
    """
    scoring, device = False, device_for(study.resources)
    try:
        bound_memory(study.resources)
        trial = Trial(study, materials, device)
        speed = _training_speed(trial)
        scoring = True
        scoring_seconds = _scoring_seconds(study, trial)
        return Cost(speed, study.training.images / speed, scoring_seconds, _gpu_share(device))
    except (InputError, WorkFailed):
        raise
    except Exception as error:  # out of memory, or no compiler
        if is_out_of_memory(error):
            raise WorkFailed(does_not_fit(study, study.resources, 0, scoring)) from None
        said = in_a_line(error)[:_SAID]
        raise WorkFailed(f"a trial of this study fails on this machine: {said}") from None


def _training_speed(trial: Trial) -> float:
    """Images per second."""
    for _ in range(_WARM_UP_STEPS):
        trial.trainer.step()
    trial.trainer.check_finite()  # waits for the device
    start, before = time.monotonic(), trial.images_seen
    while time.monotonic() - start < _SECONDS and trial.trainer.steps < _MOST_STEPS:
        trial.trainer.step()
    trial.trainer.check_finite()
    return (trial.images_seen - before) / (time.monotonic() - start)


def _scoring_seconds(study: Study, trial: Trial) -> float:
    """From one call of the network, the features of one batch, and statistics of whole sets."""
    settings = study.evaluation
    batch = min(settings.samples, scoring_batch(trial.materials.train.shape))
    calls_a_step = 2 if settings.sampler == "heun" else 1
    images, seconds = _denoised(trial, batch)
    call = seconds / (settings.steps * calls_a_step)
    reference = trial.materials.reference
    start = time.monotonic()
    features = reference.features(images)
    looking = (time.monotonic() - start) / batch
    losses = BANK_DRAWS * (len(study.training.decays) + 1)
    rungs = len(study.rungs())
    samples = settings.samples_at_rungs * (rungs - 1) + settings.samples
    denoising = samples * settings.steps * calls_a_step
    judging = {
        count: _judging_seconds(reference, images, features, count)
        for count in {settings.samples_at_rungs, settings.samples}
    }
    judged = judging[settings.samples_at_rungs] * (rungs - 1) + judging[settings.samples]
    return (denoising + losses * rungs) * call + samples * looking + judged


def _denoised(trial: Trial, batch: int) -> tuple[torch.Tensor, float]:
    """So many images, and the seconds that each takes.

    They are of all steps, for as long as training was timed, where these take little time; else of
    two, which have a larger share in what is done once an image.
    """
    trial.denoise(batch, steps=2)  # compiles
    start = time.monotonic()
    images = trial.denoise(batch, steps=2)
    taken, steps = time.monotonic() - start, trial.config.evaluation.steps
    if taken * steps / 2 > _SECONDS:
        return images, taken * steps / 2 / batch
    start, rounds = time.monotonic(), 0
    while time.monotonic() - start < _SECONDS:
        images = trial.denoise(batch)
        rounds += 1
    return images, (time.monotonic() - start) / rounds / batch


def _judging_seconds(
    reference: Reference, images: torch.Tensor, features: torch.Tensor, count: int
) -> float:
    """What all scores of so many images take, their features aside.

    The batch is repeated to their number, since some scores take the square or the cube of it, or
    hardly more for many than for few.
    """
    most = max(len(images), _REPEATED_BYTES // images[0].numel())
    places = torch.arange(min(count, most)) % len(images)
    many, known = images[places], features[places]
    start = time.monotonic()
    reference.score_with(many, known)
    return (time.monotonic() - start) * count / len(places)


def _gpu_share(device: torch.device) -> float | None:
    if device.type != "cuda":
        return None
    free, whole = torch.cuda.mem_get_info(device)
    return math.ceil((whole - free) / whole * 100) / 100
