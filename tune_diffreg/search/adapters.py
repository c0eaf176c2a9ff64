"""Search and confirmation as Ray Tune sees them: a searcher, and a scheduler that prunes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune_diffreg.search.confirmation import Confirmation
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.halving import Decision

# Ray pickles the searcher and the scheduler to restore an experiment from. We go on from the
# journal instead, so there is nothing for those pickles to hold.
_NOTHING: dict[str, Any] = {}

_SCORE = "scores/"  # Ray flattens nested results with slashes

_MOST_WORDS = 600  # letters; what follows is advice

# What is shown of a running trial and decides nothing; the first two are Ray's own.
_SEEN = ("hostname", "pid", "images_per_second", "cpu", "device", "gpu", "notes")

Director = Coordinator | Confirmation
"""Says what runs next, and what becomes of it."""


class CoordinatedSearcher(Searcher):
    """Hands the coordinator's trials to Ray, as many at a time as `slots` says.

    A trial that pauses ends for Ray, whose actor takes the next; when it is promoted, it is a new
    trial of Ray's that goes on from the checkpoint. So Ray's own pausing is not needed.
    """

    def __init__(self, coordinator: Director, slots: Callable[[], int]) -> None:
        super().__init__()
        self._coordinator = coordinator
        self._slots = slots
        self._running: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        if len(self._running) >= self._slots():
            return None
        assignment = self._coordinator.next_trial()
        if assignment is None:
            over = self._coordinator.finished or self._coordinator.interrupted
            return Searcher.FINISHED if over else None
        self._running[trial_id] = assignment.trial_id
        return {
            "trial_id": assignment.trial_id,
            "config": assignment.config.model_dump(),
            "reported": list(assignment.reported),
        }

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:  # noqa: ARG002
        ours = self._running.pop(trial_id)
        if error:
            self._coordinator.fail(ours, "its process died, each time that it was restarted")

    def __getstate__(self) -> dict[str, Any]:
        return _NOTHING

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


class CoordinatedScheduler(FIFOScheduler):
    """Passes each result to the coordinator and its decision to Ray."""

    def __init__(self, coordinator: Director) -> None:
        super().__init__()
        self._coordinator = coordinator

    def __getstate__(self) -> dict[str, Any]:
        return _NOTHING

    def on_trial_result(self, _: Any, trial: Trial, result: dict[str, Any]) -> str:
        go_on = self._decide(trial.config["trial_id"], result)
        decision: str = TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP
        return decision

    def on_trial_error(self, _: Any, trial: Trial) -> None:
        """Its process ended; Ray starts it again, or says that it gives up."""
        self._coordinator.lost(trial.config["trial_id"], f"its process died: {_last_words(trial)}")

    def _decide(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial goes on."""
        seen = {key: result[key] for key in _SEEN if key in result}
        self._coordinator.progress(trial_id, result["images"], **seen)
        if "failure" in result:
            self._coordinator.fail(trial_id, result["failure"])
            return False
        decision = Decision.CONTINUE
        if "rung" in result:
            scores = {k.removeprefix(_SCORE): v for k, v in result.items() if k.startswith(_SCORE)}
            decision = self._coordinator.report(
                trial_id, result["images"], result["seconds"], scores
            )
        return decision.goes_on and not self._coordinator.interrupted


def _last_words(trial: Trial) -> str:
    """What Ray knows of why a trial's process ended, in a line."""
    with suppress(OSError, TypeError):  # TypeError: it has written no such file
        last = Path(trial.error_file).read_text().rpartition("Failure # ")[2]
        return " ".join(last.split()[5:])[:_MOST_WORDS]  # without "1 (occurred at DATE)"
    return "Ray says no more"
