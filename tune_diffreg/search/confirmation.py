"""After the search: finalists and baselines trained again, on seeds and images it never saw.

It tells Ray's adapters what to run as the coordinator does; nothing is pruned, and the journal is
what an interrupted confirmation goes on from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_diffreg.results import Journal, TrialRecord, read_journal
from tune_diffreg.results.confirmation import (
    Repetition,
    apply_repetition,
    candidates,
    repeated_config,
    repetitions,
)
from tune_diffreg.search.coordinator import Assignment, Listener, not_finite
from tune_diffreg.search.halving import Decision
from tune_diffreg.study import Study


class Confirmation:
    """Decides what is repeated. Made anew from the journal, it goes on where that ends.

    Args:
        journal: the search's, which is over.
        records: of the search.

    Raises:
        StorageLost: as the coordinator's methods.
    """

    def __init__(
        self,
        study: Study,
        journal: Journal,
        records: Mapping[str, TrialRecord],
        listener: Listener,
    ) -> None:
        self._study = study
        self._records = records
        self._listener = listener
        self.interrupted = False
        self._journal = journal
        self.runs: dict[str, Repetition] = repetitions(read_journal(journal.path))
        self._to_continue = [run.id for run in self.runs.values() if run.state == "running"]
        self._to_start = [
            (trial, number)
            for number in self._numbers()
            for trial in candidates(study, records)
            if _name(trial, number) not in self.runs
        ]

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to repeat."""
        return not self._to_start and all(run.state != "running" for run in self.runs.values())

    def next_trial(self) -> Assignment | None:
        """A repetition for a free slot; interrupted ones first. None when there is none now."""
        if self.interrupted:
            return None
        if self._to_continue:
            return self._assignment(self.runs[self._to_continue.pop(0)])
        if not self._to_start:
            return None
        trial, number = self._to_start.pop(0)
        self._note("repeat", run=_name(trial, number), trial=trial, number=number)
        return self._assignment(self.runs[_name(trial, number)])

    def report(
        self, trial_id: str, images: int, seconds: float, scores: Mapping[str, float]
    ) -> Decision:
        """Records the scores of a repetition at full length, which ends it."""
        if self.runs[trial_id].state != "running":
            return Decision.PRUNE
        reason = not_finite(scores, images)
        if reason:
            self.fail(trial_id, reason)
            return Decision.FAIL
        self._note(
            "repeated",
            run=trial_id,
            images=images,
            seconds=round(seconds, 3),
            scores=dict(scores),
        )
        return Decision.COMPLETE

    def fail(self, trial_id: str, reason: str) -> None:
        """Ends a repetition that cannot go on."""
        if self.runs[trial_id].state == "running":
            self._note("repeat_failed", run=trial_id, reason=reason)

    def again(self, trial_id: str, reason: str) -> None:
        """Has a repetition whose process ended before its time go on from its checkpoint."""
        if self.runs[trial_id].state == "running":
            self._to_continue.append(trial_id)
            self._listener({"event": "repeat_again", "run": trial_id, "reason": reason})

    def progress(self, trial_id: str, images: int, **seen: Any) -> None:
        """Passes on that a repetition is alive, and what is `seen` of it; not in the journal."""
        self._listener({"event": "repeating", "run": trial_id, "images": images, **seen})

    def interrupt(self) -> None:
        """Starts no more and stops each at its next sign of life."""
        self.interrupted = True
        self._listener({"event": "interrupt"})

    def _numbers(self) -> range:
        settings = self._study.confirmation
        return range(1, settings.seeds + 1) if settings is not None else range(0)

    def _assignment(self, run: Repetition) -> Assignment:
        return Assignment(run.id, repeated_config(self._study, self._records[run.trial], run), ())

    def _note(self, event: str, **content: Any) -> None:
        written = self._journal.append(event, **content)
        apply_repetition(self.runs, written)
        self._listener(written)


def _name(trial: str, number: int) -> str:
    return f"{trial}-{number}"
