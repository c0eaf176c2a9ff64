"""What happens around a trial beside its training: its process dies, hangs, is called away.

Between Ray's adapters and whoever directs (the search, then its confirmation), with no Ray in it.
A trial goes on from its checkpoint, to the same bits, however often that takes; but one whose own
process ends again and again, without a rung in between, has failed. A machine that went away is
no fault of a trial's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
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
# By then Ray knows whether a machine went away.
_SETTLED_SECONDS = 60.0
_SCORE = "scores/"  # Ray flattens nested results with slashes
# What is shown of a running trial and decides nothing; the first two are Ray's own.
_SEEN = ("hostname", "pid", "images_per_second", "cpu", "device", "gpu", "notes")


class Death(Enum):
    """How a trial's process came to its end."""

    PROCESS = "its process died"
    MEMORY = "its machine ran out of memory, and Ray ended its process (see resources.memory)"
    MACHINE = "its machine went away"
    UNKNOWN = "its process was lost"
    """Ray does not know yet whether the process or the whole machine went away."""


@dataclass
class _Run:
    """A trial under way.

    Attributes:
        actor: what Ray calls its process; None while there is none yet.
        heard: when it last gave a sign of life, on the conductor's clock.
        since: when it began with what it does now, the next rung.
        overdue: why its process was ended, where that was for what it did not do in time.
        machine: Ray's name of where it runs, once it has given one.
        leaves: whether it was asked to go on elsewhere, or does so of its own accord.
        stops: whether it was told to stop, and is not known to have done so.
    """

    actor: str | None = None
    heard: float = 0.0
    since: float = 0.0
    overdue: str | None = None
    machine: str | None = None
    leaves: bool = False
    stops: bool = False


@dataclass(frozen=True)
class _Unsettled:
    """A death of which it is not known yet whether it was the trial's own.

    Attributes:
        until: when it counts as one, on the conductor's clock.
    """

    trial: str
    actor: str
    until: float


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
        self._unsettled: list[_Unsettled] = []

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
        """A trial for a free slot; None when there is none now, or no more at all.

        None as well while a trial is stopping: a pause may make it the one to go on with, and its
        end would then be taken for that of its successor.
        """
        if self.over or any(run.stops for run in self._runs.values()):
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
        self._runs[trial_id] = _Run(actor, self._watched, self._watched)

    def result(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Takes a trial's result; whether it goes on."""
        goes_on = self._goes_on(trial_id, result)
        self._runs[trial_id].stops = not goes_on
        return goes_on

    def _goes_on(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        if self._patience.lost is not None:
            return False
        run = self._runs[trial_id]
        run.heard, run.machine = self._watched, result["machine"]
        run.leaves |= result["exits"]
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
        reason = self._reason(trial_id, run)
        deaths = self._deaths[trial_id]
        try:
            if deaths > MOST_RESTARTS:
                self._director.fail(trial_id, f"{reason}, {deaths} times in a row")
            else:
                self._director.again(trial_id, reason)
        except StorageLost:
            self._director.interrupt()

    def called_away(self, machines: Collection[str]) -> list[str]:
        """The trials on machines that are about to be taken away, each once: they are to leave."""
        found = [t for t, run in self._runs.items() if run.machine in machines and not run.leaves]
        for trial_id in found:
            self._runs[trial_id].leaves = True
        return found

    def settle(self) -> None:
        """Looks again for deaths of which it was not known whether they were the trial's own."""
        for case in list(self._unsettled):
            death = self._cause_of(case.actor)
            if death is not Death.UNKNOWN or self._watched >= case.until:
                self._unsettled.remove(case)
                self._deaths[case.trial] += death is not Death.MACHINE

    def overdue(self) -> list[str]:
        """The trials that hang or take too long for a rung, each once for every such time.

        To be asked all the time. What passes while it is not asked (the driver waits for its
        storage, say) does not count, since results are not taken then either.
        """
        now = self._clock()
        self._watched += min(now - self._looked, _LONGEST_LOOK_SECONDS)
        self._looked = now
        found = []
        for trial_id, run in self._runs.items():
            reason = None if run.actor is None else self._overdue(run)
            if reason:
                found.append(trial_id)
                run.overdue, run.heard, run.since = reason, self._watched, self._watched
        return found

    def _overdue(self, run: _Run) -> str | None:
        hang, rung = self._resources.hang_seconds, self._resources.rung_seconds
        if hang is not None and self._watched - run.heard > hang:
            return f"it gave no sign of life for {duration(hang)} (resources.hang_seconds)"
        if rung is not None and self._watched - run.since > rung:
            return f"it took longer than {duration(rung)} for a rung (resources.rung_seconds)"
        return None

    def _reason(self, trial_id: str, run: _Run) -> str:
        """What ended a process; counts it where that was the trial's own."""
        if run.leaves:
            return "its machine is being taken away"
        if run.overdue:
            self._deaths[trial_id] += 1
            return run.overdue
        death = Death.PROCESS if run.actor is None else self._cause_of(run.actor)
        if death is Death.UNKNOWN and run.actor is not None:
            until = self._watched + _SETTLED_SECONDS
            self._unsettled.append(_Unsettled(trial_id, run.actor, until))
        elif death is not Death.MACHINE:
            self._deaths[trial_id] += 1
        return death.value

    def _decide(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        seen = {key: result[key] for key in _SEEN if key in result}
        self._director.progress(trial_id, result["images"], **seen)
        if result.get("waiting"):
            self._patience.waits(trial_id, result["waiting"])
        else:
            self._patience.writes(trial_id)
        if "failure" in result:
            self._director.fail(trial_id, result["failure"])
            return bool(result["exits"])  # into a last step, in which its process ends
        if "rung" not in result:
            return True
        self._deaths.pop(trial_id, None)
        self._runs[trial_id].since = self._watched
        scores = {k.removeprefix(_SCORE): v for k, v in result.items() if k.startswith(_SCORE)}
        decision: Decision = self._director.report(
            trial_id, result["images"], result["seconds"], scores
        )
        return decision.goes_on
