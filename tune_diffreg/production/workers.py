"""A production training by several processes, through Ray Train."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from tune_diffreg.diffusion import Part
from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.factory import in_a_line
from tune_diffreg.production.job import Job
from tune_diffreg.production.train import take_part
from tune_diffreg.results.journal import Event, Journal, cut_torn_line, events_from
from tune_diffreg.search.cluster import check_address, ray_cluster

_RESTARTS = 3
_LOOK_SECONDS = 0.5
_EXCHANGE_SECONDS = 6 * 3600  # others wait within a step while the first one scores
_QUIET = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # or a relative path to images would lead nowhere
    "RAY_TRAIN_METRICS_ENABLED": "0",
}


def check_workers(job: Job, workers: int, address: str | None) -> None:
    """Raises InputError where so many workers cannot share this training, or no Ray answers."""
    batch = job.best.config.training.batch_size
    if batch % workers:
        raise InputError(f"--workers {workers}: must divide training.batch_size, which is {batch}")
    needed = job.best.resources.cpu * workers
    if address is not None:
        check_address(address)
    elif needed > (os.cpu_count() or 1):
        raise InputError(
            f"--workers {workers}: need {needed} CPU cores, more than this machine has"
        )


def train_on_workers(
    job: Job,
    workers: int,
    address: str | None,
    stopped: Callable[[], bool],
    news: Callable[[Event], None],
) -> None:
    """Trains until the end or until asked to stop, and tells what the first worker records.

    A worker that dies is replaced, with all others, and the training goes on from its checkpoint.

    Raises:
        InputError: no Ray answers.
        WorkFailed: the training failed.
    """
    os.environ.update(_QUIET)
    with ray_cluster(address):
        follower = _Followed(job, news)
        trainer = threading.Thread(target=follower.fit, args=(workers,), daemon=True)
        trainer.start()
        while trainer.is_alive():
            follower.look()
            if stopped():
                job.stop.touch()
            time.sleep(_LOOK_SECONDS)
        follower.look()
    if follower.error is not None:
        raise follower.error


class _Followed:
    """What the workers record, as it comes, and how their training ended."""

    def __init__(self, job: Job, news: Callable[[Event], None]) -> None:
        self._job = job
        self._news = news
        self._offset = cut_torn_line(job.history) if job.history.exists() else 0
        self.error: Exception | None = None

    def look(self) -> None:
        """Passes on what is new."""
        if not self._job.history.exists():
            return
        for event, offset in events_from(self._job.history, self._offset):
            self._offset = offset
            if event["event"] == "failed":
                self.error = WorkFailed(event["reason"])
            self._news(event)

    def fit(self, workers: int) -> None:
        """Runs Ray Train to its end."""
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        resources = self._job.best.resources
        on_gpus = resources.gpu > 0
        needs = {"CPU": resources.cpu, **({"GPU": 1} if on_gpus else {})}
        trainer = TorchTrainer(
            _worker,
            train_loop_config={"job": self._job},
            torch_config=TorchConfig(timeout_s=_EXCHANGE_SECONDS),
            scaling_config=ScalingConfig(
                num_workers=workers, use_gpu=on_gpus, resources_per_worker=needs
            ),
            run_config=RunConfig(
                name="ray",
                storage_path=str(self._job.folder.resolve()),
                failure_config=FailureConfig(max_failures=_RESTARTS),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # whatever Ray raises when its workers are gone
            self.error = self.error or WorkFailed(f"the training failed: {in_a_line(error)[:300]}")


def _worker(config: dict[str, Any]) -> None:
    """One process of the training, inside Ray Train."""
    from ray import train

    job: Job = config["job"]
    if job.stop.exists():  # one of those before these failed, or was asked to stop as it died
        return
    context = train.get_context()
    part = Part(context.get_world_rank(), context.get_world_size())
    try:
        take_part(job, part, job.stop.exists)
    except (InputError, WorkFailed) as error:  # another try would end alike
        Journal(job.history).append("failed", reason=str(error))
        job.stop.touch()
        raise  # Ray ends the others, which may be waiting for this one, and starts all anew
