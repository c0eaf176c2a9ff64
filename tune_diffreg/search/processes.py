"""The processes of trials, as Ray knows them: whether they hang, are called away, how they died."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private.state import state
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayTaskError
from ray.tune import Callback
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial

from tune_diffreg.search.conductor import Conductor, Death

log = logging.getLogger(__name__)

# How often it is looked for machines that are about to be taken away. Clouds give 30 seconds.
_LOOK_SECONDS = 3.0


class Watch(Callback):
    """Looks after the trials' processes, at each step of Ray's."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor
        self._next_look = 0.0

    def __getstate__(self) -> dict[str, Any]:
        return {}  # as the searcher

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:  # noqa: ARG002
        ours, actor = trial.config["trial_id"], trial.temporary_state.ray_actor
        self._conductor.began(ours, actor._actor_id.hex())

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:  # noqa: ARG002
        for actor in _actors_of(self._conductor.overdue(), trials):
            ray.kill(actor)
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_SECONDS
        try:
            self._conductor.settle()
            going = state.get_draining_nodes()
        except Exception:  # Ray's control store does not answer; Ray itself deals with that
            log.warning("machines could not be asked about", exc_info=True)
            return
        for actor in _actors_of(self._conductor.called_away(going), trials):
            actor.leave.remote()


def _actors_of(wanted: Collection[str], trials: list[Trial]) -> list[Any]:
    """The actors that run these trials of ours."""
    if not wanted:
        return []  # and Ray's list may be long
    running = [t.temporary_state.ray_actor for t in trials if t.config["trial_id"] in wanted]
    return [actor for actor in running if actor is not None]


def cause_of_death(actor: str) -> Death:
    """How an actor died, as far as Ray's control store knows by now."""
    known = state.actor_table(actor)
    if not known or known["State"] != "DEAD":
        return Death.UNKNOWN
    cause = known["DeathCause"]
    if cause.HasField("oom_context"):
        return Death.MEMORY
    context = cause.actor_died_error_context
    return Death.MACHINE if context.reason == context.NODE_DIED else Death.PROCESS


class _Actors(RayActorManager):
    """Ray's, save that an actor without memory is one that died.

    As Ray has it (2.60), `OutOfMemoryError` is none of those errors that Tune expects of an actor,
    and ends the whole run.
    """

    failing: str | None = None
    """The actor that could not be started, while Tune deals with that."""

    def _actor_start_failed(self, tracked_actor: Any, exception: Exception) -> None:
        started = self._live_actors_to_ray_actors_resources.get(tracked_actor)
        self.failing = started and started[0]._actor_id.hex()
        try:
            super()._actor_start_failed(tracked_actor, exception)
        finally:
            self.failing = None

    def _actor_task_failed(self, tracked_actor_task: Any, exception: Exception) -> None:
        if not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=str(exception))
        super()._actor_task_failed(tracked_actor_task, exception)


@contextmanager
def deaths_of_all_kinds() -> Iterator[None]:
    """Has Tune take an actor's death as that trial's alone, whatever it died of."""
    before = tune_controller.RayActorManager
    tune_controller.RayActorManager = _Actors
    try:
        yield
    finally:
        tune_controller.RayActorManager = before
