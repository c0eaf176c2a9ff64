"""Search and confirmation as Ray Tune sees them: a searcher, a scheduler that prunes, a watch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private.state import state
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import RayActorError, RayTaskError
from ray.tune import Callback
from ray.tune.execution import tune_controller
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune_diffreg.search.conductor import Conductor, Death

# Ray pickles the searcher and the scheduler to restore an experiment from. We go on from the
# journal instead, so there is nothing for those pickles to hold.
_NOTHING: dict[str, Any] = {}


class CoordinatedSearcher(Searcher):
    """Hands trials to Ray, as many at a time as `slots` says.

    A trial that pauses ends for Ray, whose actor takes the next; when it is promoted, it is a new
    trial of Ray's that goes on from the checkpoint. So is one whose process died. Neither Ray's
    own pausing nor its restarting is needed.
    """

    def __init__(self, conductor: Conductor, slots: Callable[[], int]) -> None:
        super().__init__()
        self._conductor = conductor
        self._slots = slots
        self._names: dict[str, str] = {}  # Ray's of a trial -> ours

    def suggest(self, trial_id: str) -> Any:
        if len(self._conductor) >= self._slots():
            return None
        assignment = self._conductor.next_trial()
        if assignment is None:
            return Searcher.FINISHED if self._conductor.over else None
        self._names[trial_id] = assignment.trial_id
        return {
            "trial_id": assignment.trial_id,
            "config": assignment.config.model_dump(),
            "reported": list(assignment.reported),
        }

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:  # noqa: ARG002
        ours = self._names.pop(trial_id)
        if error:
            self._conductor.died(ours)
        else:
            self._conductor.stopped(ours)

    def __getstate__(self) -> dict[str, Any]:
        return _NOTHING

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


class CoordinatedScheduler(FIFOScheduler):
    """Passes each result on, and to Ray whether the trial goes on."""

    def __init__(self, conductor: Conductor) -> None:
        super().__init__()
        self._conductor = conductor

    def __getstate__(self) -> dict[str, Any]:
        return _NOTHING

    def on_trial_result(self, _: Any, trial: Trial, result: dict[str, Any]) -> str:
        go_on = self._conductor.result(trial.config["trial_id"], result)
        decision: str = TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP
        return decision


class Watch(Callback):
    """Looks after the trials' processes, at each step of Ray's."""

    def __init__(self, conductor: Conductor) -> None:
        self._conductor = conductor

    def __getstate__(self) -> dict[str, Any]:
        return _NOTHING

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:  # noqa: ARG002
        ours, actor = trial.config["trial_id"], trial.temporary_state.ray_actor
        self._conductor.began(ours, actor._actor_id.hex())

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:  # noqa: ARG002
        for actor in _actors_of(self._conductor.silent(), trials):
            ray.kill(actor)


def _actors_of(wanted: Collection[str], trials: list[Trial]) -> list[Any]:
    """The actors that run these trials of ours."""
    if not wanted:
        return []  # and Ray's list may be long
    running = [t.temporary_state.ray_actor for t in trials if t.config["trial_id"] in wanted]
    return [actor for actor in running if actor is not None]


def cause_of_death(actor: str) -> Death:
    """How an actor died, as Ray's control store knows it."""
    cause = state.actor_table(actor)["DeathCause"]
    return Death.MEMORY if cause.HasField("oom_context") else Death.PROCESS


class _Actors(RayActorManager):
    """Ray's, save that an actor without memory is one that died.

    As Ray has it (2.60), `OutOfMemoryError` is none of those errors that Tune expects of an actor,
    and ends the whole run.
    """

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
