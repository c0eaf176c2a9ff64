"""A trial inside a Ray actor. The actor outlives the trial and takes the next one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray import tune

from tune_diffreg.diffusion import Diverged, Network
from tune_diffreg.diffusion.device import (
    bound_memory,
    device_for,
    does_not_fit,
    free_memory,
    is_out_of_memory,
)
from tune_diffreg.factory import in_a_line
from tune_diffreg.memory import MemoryBound, OverMemory
from tune_diffreg.mirror import shed, storage_at
from tune_diffreg.patience import PAUSE_SECONDS, passes, reason_of
from tune_diffreg.results.folder import PAIRS, SAMPLES, StudyFolder
from tune_diffreg.search.sheets import save_pairs, save_sheet
from tune_diffreg.search.trial import Materials, Trial
from tune_diffreg.search.vitals import Notes, Vitals
from tune_diffreg.study import Resources, TrialConfig

log = logging.getLogger(__name__)

# A result at least this often, so that the display moves and an interrupt is heeded.
SLICE_SECONDS = 5.0
# How often a trial's memory is looked at.
_LOOK_SECONDS = 0.5


@dataclass(frozen=True)
class Shared:
    """What the driver gives to every actor, once.

    Attributes:
        storage: address that `storage_at` takes, on whatever machine.
    """

    materials: Materials
    rungs: tuple[int, ...]
    study: str
    storage: str
    resources: Resources
    keeps_models: bool = True


@dataclass(frozen=True)
class Reached:
    """A rung, and what the trial scored and generated there."""

    rung: int
    scores: dict[str, float]
    images: torch.Tensor


class TrialActor(tune.Trainable):
    """Trains in slices; a result has `rung` and `scores` where it reached a rung.

    A failure of the trial is a result too (`failure`), so that the actor lives on. While the
    storage cannot be written, results say so (`waiting`), and each step tries again. A process
    that is of no use to the next trial says so too (`exits`), and ends in the next step.
    """

    def setup(self, config: dict[str, Any], shared: Shared | None = None) -> None:
        assert shared is not None
        self._shared = shared
        self._study = StudyFolder(storage_at(shared.storage, check=False), shared.study)
        torch.set_num_threads(shared.resources.cpu)
        bound_memory(shared.resources)
        self._memory = MemoryBound(shared.resources.memory, hard=shared.resources.gpu == 0)
        self._machine = ray.get_runtime_context().get_node_id() if ray.is_initialized() else ""
        self._leaves = self._exits = False
        self._network: Network | None = None
        self._vitals, self._notes = Vitals(shared.resources), Notes()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self._exits:
            ray.actor.exit_actor()
        return {**self._outcome(), **self._vitals.measured(), "notes": self._notes.taken()}

    def _outcome(self) -> dict[str, Any]:
        try:
            return self._advance()
        except Diverged as error:
            return self._result(failure=str(error))
        except OverMemory as error:
            failure, self._exits = str(error), True
        except Exception as error:
            if is_out_of_memory(error):
                failure = self._out_of_memory()
            else:
                log.error("the trial broke off", exc_info=True)
                self._exits = self._memory.refused(error)
                failure = self._memory.sentence if self._exits else in_a_line(error)
        # Here, where no traceback holds the trial any more.
        return self._given_up(failure)

    def leave(self) -> None:
        """Asks the trial to make a checkpoint and this process to end: it will go on elsewhere."""
        self._leaves = True

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing: a trial keeps its checkpoints in the study's folder itself."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing, likewise."""

    def _begin(self, config: dict[str, Any]) -> None:
        self._trial_id: str = config["trial_id"]
        self._folder = self._study.trial(self._trial_id)
        self._config = TrialConfig.model_validate(config["config"])
        self._ahead = [r for r in self._shared.rungs if r > max(config["reported"], default=0)]
        self._trial: Trial | None = None
        self._loaded = False
        self._reached: Reached | None = None
        self._waiting: str | None = None
        self._speed = 0.0
        shed(self._study.root / "trials")

    def _advance(self) -> dict[str, Any]:
        if self._trial is None:  # here and not in `setup`, so that its errors are the trial's
            if self._network is not None and not self._network.fits(self._config):
                self._network = None  # or two would be on the device at once
                free_memory()
            device = device_for(self._shared.resources)
            self._trial = Trial(self._config, self._shared.materials, device, self._network)
            self._network = self._trial.trainer.network
        trial = self._trial
        if not self._loaded and not self._can(lambda: self._load(trial)):
            return self._pause()
        if self._leaves:
            self._exits = self._can(lambda: trial.save(self._folder))
            return self._result() if self._exits else self._pause()
        if self._reached is None:
            if not self._train(trial):
                trial.trainer.check_finite()
                self._can(lambda: trial.save_if_cheap(self._folder))
                return self._result()
            self._reached = Reached(self._ahead[0], *trial.evaluate())
            self._memory.check()
        reached = self._reached
        if not self._can(lambda: self._keep(trial, reached)):
            return self._pause()
        self._ahead = [r for r in self._ahead if r > trial.images_seen]
        self._reached = None
        return self._result(rung=reached.rung, scores=reached.scores)

    def _train(self, trial: Trial) -> bool:
        """Trains a slice, and notes how fast; whether the next rung is reached."""
        images, seconds = trial.images_seen, trial.seconds
        reached, end = False, time.monotonic() + SLICE_SECONDS
        while not reached and time.monotonic() < end:
            reached = trial.train(until=self._ahead[0], seconds=_LOOK_SECONDS)
            self._memory.check()
        if trial.images_seen > images:
            self._speed = (trial.images_seen - images) / (trial.seconds - seconds)
        return reached

    def _load(self, trial: Trial) -> None:
        trial.load(self._folder)
        # A trial goes on past a rung only when its report has been dealt with, so one that is
        # a batch beyond it needs no second report (Ray restarts with what it knew at first).
        batch = self._config.training.batch_size
        self._ahead = [r for r in self._ahead if trial.images_seen < r + batch]
        self._loaded = True

    def _keep(self, trial: Trial, reached: Reached) -> None:
        """What a rung leaves in the study's folder; done again from the start if it breaks off."""
        save_sheet(reached.images, self._folder / SAMPLES)
        save_pairs(*trial.nearest_pairs(reached.images), self._folder / PAIRS)
        if trial.images_seen < self._shared.rungs[-1]:
            trial.save(self._folder)
        elif self._shared.keeps_models:
            trial.save_model(self._folder)

    def _can(self, use: Callable[[], None]) -> bool:
        """Uses the storage, and says whether that worked or is to be tried again later."""
        try:
            use()
        except OSError as error:
            if not passes(error):
                raise
            self._waiting = reason_of(error)
        else:
            self._waiting = None
        return self._waiting is None

    def _pause(self) -> dict[str, Any]:
        time.sleep(PAUSE_SECONDS)
        return self._result()

    def _given_up(self, failure: str) -> dict[str, Any]:
        """Drops what broke off inside a step, and frees its memory for the next trial."""
        result = self._result(failure=failure)
        self._trial = self._network = None
        free_memory()
        return result

    def _out_of_memory(self) -> str:
        scoring = self._trial is not None and self._trial.scoring
        images = self._result()["images"]
        return does_not_fit(self._config, self._shared.resources, images, scoring)

    def _result(self, **content: Any) -> dict[str, Any]:
        trial = self._trial
        return {
            "images": trial.images_seen if trial else 0,
            "seconds": trial.seconds if trial else 0.0,
            "waiting": self._waiting,
            "exits": self._exits,
            "machine": self._machine,
            "images_per_second": self._speed,
            **content,
        }
