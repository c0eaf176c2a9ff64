"""Search and confirmation as Ray Tune sees them: a searcher, and a scheduler that prunes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from tune_diffreg.patience import Patience, StorageLost
from tune_diffreg.search.confirmation import Confirmation
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.halving import Decision

# Ray pickles the searcher and the scheduler to restore an experiment from. We go on from the
# journal instead, so there is nothing for those pickles to hold.
_NOTHING: dict[str, Any] = {}

_SCORE = "scores/"  # Ray flattens nested results with slashes

Director = Coordinator | Confirmation
"""Says what runs next, and what becomes of it."""


class CoordinatedSearcher(Searcher):
    """Hands the coordinator's trials to Ray, as many at a time as `slots` says.

    A trial that pauses ends for Ray, whose actor takes the next; when it is promoted, it is a new
    trial of Ray's that goes on from the checkpoint. So Ray's own pausing is not needed.
    """

    def __init__(self, coordinator: Director, slots: Callable[[], int], patience: Patience) -> None:
        super().__init__()
        self._coordinator = coordinator
        self._slots = slots
        self._patience = patience
        self._running: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        if self._patience.lost:
            return Searcher.FINISHED
        if len(self._running) >= self._slots():
            return None
        try:
            assignment = self._coordinator.next_trial()
        except StorageLost:
            self._coordinator.interrupt()
            return Searcher.FINISHED
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
        self._patience.writes(ours)  # or has no more to write
        if error and not self._patience.lost:
            with suppress(StorageLost):  # it goes on later, as all others do
                self._coordinator.fail(ours, "its process died, each time that it was restarted")

    def __getstate__(self) -> dict[str, Any]:
        return _NOTHING

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal holds the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


class CoordinatedScheduler(FIFOScheduler):
    """Passes each result to the coordinator and its decision to Ray."""

    def __init__(self, coordinator: Director, patience: Patience) -> None:
        super().__init__()
        self._coordinator = coordinator
        self._patience = patience

    def __getstate__(self) -> dict[str, Any]:
        return _NOTHING

    def on_trial_result(self, _: Any, trial: Trial, result: dict[str, Any]) -> str:
        ours = trial.config["trial_id"]
        try:
            go_on = self._decide(ours, result)
        except StorageLost:
            self._coordinator.interrupt()
            go_on = False
        decision: str = TrialScheduler.CONTINUE if go_on else TrialScheduler.STOP
        return decision

    def _note_storage(self, trial_id: str, result: dict[str, Any]) -> None:
        if result.get("waiting"):
            self._patience.waits(trial_id, result["waiting"])
        else:
            self._patience.writes(trial_id)

    def _decide(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial goes on.

        Raises:
            StorageLost: that cannot be written down, so it has not been decided.
        """
        if self._patience.lost:
            return False
        self._note_storage(trial_id, result)
        if "failure" in result:
            self._coordinator.fail(trial_id, result["failure"])
            return False
        decision = Decision.CONTINUE
        if "rung" in result:
            scores = {k.removeprefix(_SCORE): v for k, v in result.items() if k.startswith(_SCORE)}
            decision = self._coordinator.report(
                trial_id, result["images"], result["seconds"], scores
            )
        else:
            self._coordinator.progress(trial_id, result["images"])
        return decision.goes_on and not self._coordinator.interrupted
