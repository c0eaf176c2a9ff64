"""What happens around a trial beside its training: its process dies, hangs, is called away.

Between Ray's adapters and whoever directs (the search, then its confirmation), with no Ray in it.
A trial goes on from its checkpoint, to the same bits, however often that takes; but one whose own
process ends again and again, without a rung in between, has failed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from tune_diffreg.patience import Patience, StorageLost
from tune_diffreg.search.confirmation import Confirmation
from tune_diffreg.search.coordinator import Assignment, Coordinator
from tune_diffreg.search.halving import Decision
from tune_diffreg.study import Resources
from tune_diffreg.words import duration

Director = Coordinator | Confirmation
"""Says what runs next, and what becomes of it."""

MOST_RESTARTS = 2
"""In a row, after deaths that are the trial's own."""
_LONGEST_LOOK_SECONDS = 1.0
_SCORE = "scores/"  # Ray flattens nested results with slashes


class Death(Enum):
    """How a trial's process came to its end."""

    PROCESS = "its process died"
    MEMORY = "its machine ran out of memory, and Ray ended its process (see resources.memory)"


@dataclass
class _Run:
    """A trial under way.

    Attributes:
        actor: what Ray calls its process; None while there is none yet.
        heard: when it last gave a sign of life, on the conductor's clock.
        hung: whether it was given up for want of one.
    """

    actor: str | None = None
    heard: float = 0.0
    hung: bool = False


class Conductor:
    """Passes between a director and the trials, and deals with what is neither's business.

    Args:
        cause_of: how an actor of that name died, as far as is known by now.
        clock: seconds since any fixed moment.
    """

    def __init__(
        self,
        director: Director,
        patience: Patience,
        resources: Resources,
        cause_of: Callable[[str], Death],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._director = director
        self._patience = patience
        self._resources = resources
        self._cause_of = cause_of
        self._clock = clock
        self._looked = clock()
        self._watched = 0.0
        self._runs: dict[str, _Run] = {}
        self._deaths = Counter[str]()

    def __len__(self) -> int:
        """How many trials are under way."""
        return len(self._runs)

    @property
    def over(self) -> bool:
        """Whether no trial will be started any more."""
        director = self._director
        return director.finished or director.interrupted or self._patience.lost is not None

    def interrupt(self) -> None:
        """Starts no more trials, stops each at its next sign of life, and waits for nothing."""
        self._patience.end()
        self._director.interrupt()

    def next_trial(self) -> Assignment | None:
        """A trial for a free slot; None when there is none now, or no more at all."""
        if self.over:
            return None
        try:
            assignment = self._director.next_trial()
        except StorageLost:
            self._director.interrupt()
            return None
        if assignment is not None:
            self._runs[assignment.trial_id] = _Run()
        return assignment

    def began(self, trial_id: str, actor: str) -> None:
        """Notes that a trial has a process now."""
        self._runs[trial_id] = _Run(actor, self._watched)

    def result(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Takes a trial's result; whether it goes on."""
        if self._patience.lost is not None:
            return False
        self._runs[trial_id].heard = self._watched
        try:
            return self._decide(trial_id, result) and not self._director.interrupted
        except StorageLost:  # not written down, so it has not been decided
            self._director.interrupt()
            return False

    def stopped(self, trial_id: str) -> None:
        """Notes that a trial was stopped as was asked for."""
        self._patience.writes(trial_id)  # or needs to no more
        del self._runs[trial_id]

    def died(self, trial_id: str) -> None:
        """Has a trial whose process ended go on in another, or fail."""
        run = self._runs.pop(trial_id)
        self._patience.writes(trial_id)
        if self._patience.lost is not None:
            return
        death = Death.PROCESS if run.actor is None else self._cause_of(run.actor)
        reason = self._silence if run.hung else death.value
        self._deaths[trial_id] += 1
        try:
            if self._deaths[trial_id] > MOST_RESTARTS:
                times = f"{self._deaths[trial_id]} times in a row"
                self._director.fail(trial_id, f"{reason}, {times}")
            else:
                self._director.again(trial_id, reason)
        except StorageLost:
            self._director.interrupt()

    def silent(self) -> list[str]:
        """The trials that hang, each once for every `resources.hang_seconds` that it does.

        To be asked all the time. What passes while it is not asked (the driver waits for its
        storage, say) does not count, since results are not taken then either.
        """
        now = self._clock()
        self._watched += min(now - self._looked, _LONGEST_LOOK_SECONDS)
        self._looked = now
        limit = self._resources.hang_seconds
        found = []
        for trial_id, run in self._runs.items():
            if limit is not None and run.actor is not None and self._watched - run.heard > limit:
                run.hung, run.heard = True, self._watched
                found.append(trial_id)
        return found

    @property
    def _silence(self) -> str:
        limit = duration(self._resources.hang_seconds or 0.0)
        return f"it gave no sign of life for {limit} (resources.hang_seconds)"

    def _decide(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        if result.get("waiting"):
            self._patience.waits(trial_id, result["waiting"])
        else:
            self._patience.writes(trial_id)
        if "failure" in result:
            self._director.fail(trial_id, result["failure"])
            return bool(result["exits"])  # into a last step, in which its process ends
        if "rung" not in result:
            self._director.progress(trial_id, result["images"])
            return True
        self._deaths.pop(trial_id, None)
        scores = {k.removeprefix(_SCORE): v for k, v in result.items() if k.startswith(_SCORE)}
        decision: Decision = self._director.report(
            trial_id, result["images"], result["seconds"], scores
        )
        return decision.goes_on
