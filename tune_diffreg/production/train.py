"""Production training: the search's own trial, by one process or several that share each batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from tune_diffreg.diffusion import WHOLE, Part
from tune_diffreg.diffusion.device import device_for, does_not_fit, is_out_of_memory
from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.production.job import ORIGIN, Job
from tune_diffreg.results.folder import PAIRS, SAMPLES
from tune_diffreg.results.journal import Event, Journal
from tune_diffreg.search.sheets import save_pairs, save_sheet
from tune_diffreg.search.trial import Trial, load_materials

_STEPS = 10
"""After so many, all processes ask whether to stop."""
_NEWS_SECONDS = 1.0
"""Between two signs of life."""


def take_part(
    job: Job,
    part: Part = WHOLE,
    stopped: Callable[[], bool] = lambda: False,
    news: Callable[[Event], None] = lambda _: None,
) -> None:
    """Trains until the end or until asked to stop; goes on from the checkpoint that is there.

    The first process writes the journal and the files. On the same machine, alone and with as many
    threads as a trial had, the scores are those of the trial to the last bit.

    Args:
        news: called with what the first process records.

    Raises:
        InputError: the data cannot be loaded.
        WorkFailed: the loss is no longer finite, or the device has too little memory.
    """
    config = job.best.config
    splits, materials = load_materials(config, job.best.resources.cpu)
    if any(e["data_sha256"] != splits.digest for e in job.events() if e["event"] == "session"):
        raise InputError("the images are not those that this training was begun with")
    record = partial(_record, Journal(job.history), news) if part.number == 0 else _ignore
    extractor = materials.reference.extractor
    origin = dict(zip(ORIGIN, (splits.digest, extractor.name, extractor.digest), strict=True))
    resources, trial = job.best.resources, None
    try:
        trial = Trial(config, materials, device_for(resources), part=part)
        trial.load(job.folder)
        record("session", images=trial.images_seen, **origin)
        _train(trial, job, part, stopped, record)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        images, scoring = (trial.images_seen, trial.scoring) if trial else (0, False)
        raise WorkFailed(does_not_fit(config, resources, images, scoring)) from None


def _train(
    trial: Trial, job: Job, part: Part, stopped: Callable[[], bool], record: Callable[..., Any]
) -> None:
    batch_size, told = trial.config.training.batch_size, time.monotonic()
    for until in _ahead(job, trial.images_seen):
        while trial.images_seen < until:
            trial.train(min(until, trial.images_seen + _STEPS * batch_size))
            if part.agree(stopped(), trial.trainer.device):
                if part.number == 0:
                    trial.save(job.folder)
                record("stopped", images=trial.images_seen)
                return
            # What only the first does, the others wait for within their next step.
            if part.number == 0 and time.monotonic() - told > _NEWS_SECONDS:
                trial.trainer.check_finite()
                record("progress", images=trial.images_seen)
                trial.save_if_cheap(job.folder)
                told = time.monotonic()
        if part.number == 0:
            _score(trial, job, record, ended=until == job.scored_at[-1])
    record("complete", images=trial.images_seen)


def _ahead(job: Job, images_seen: int) -> list[int]:
    """Where it is still to be scored: also here, if it was stopped between arrival and scores."""
    scored = job.scores()
    return [at for at in job.scored_at if at > images_seen or at not in scored]


def _score(trial: Trial, job: Job, record: Callable[..., Any], ended: bool) -> None:
    scores, images = trial.evaluate()
    save_sheet(images, job.folder / SAMPLES)
    save_pairs(*trial.nearest_pairs(images), job.folder / PAIRS)
    if ended:
        trial.save_model(job.folder)
    record("scored", images=trial.images_seen, seconds=trial.seconds, scores=scores)
    if not ended:  # or a crash now would find a training that has nothing left to do
        trial.save(job.folder)


def _record(journal: Journal, news: Callable[[Event], None], event: str, **content: Any) -> None:
    news(journal.append(event, **content))


def _ignore(event: str, **content: Any) -> None:
    """Only the first process tells."""
