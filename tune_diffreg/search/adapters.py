"""Search and confirmation as Ray Tune sees them: a searcher, and a scheduler that prunes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune_diffreg.search.conductor import Conductor

log = logging.getLogger(__name__)

# Ray pickles the searcher and the scheduler to restore an experiment from. We go on from the
# journal instead, so there is nothing for those pickles to hold.
_NOTHING: dict[str, Any] = {}

_MOST_WORDS = 600  # letters; what follows is advice


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

    def on_trial_error(self, controller: Any, trial: Trial) -> None:
        """Its process ended; the searcher is told next."""
        ours = trial.config["trial_id"]
        if controller._actor_manager.failing is not None:
            self._conductor.began(ours, controller._actor_manager.failing)
        log.warning("its process ended: %s", _last_words(trial), extra={"trial": ours})


def _last_words(trial: Trial) -> str:
    """What Ray knows of why a trial's process ended, in a line."""
    with suppress(OSError, TypeError):  # TypeError: it has written no such file
        last = Path(trial.error_file).read_text().rpartition("Failure # ")[2]
        return " ".join(last.split()[5:])[:_MOST_WORDS]  # without "1 (occurred at DATE)"
    return "Ray says no more"
