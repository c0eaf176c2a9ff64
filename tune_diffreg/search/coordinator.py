"""One study's search: proposals, halving, budget and journal joined, with no framework in it.

Ray's adapters (or a simulator) tell it what trials report and carry out what it decides. Every
decision is in the journal, on the disk, before it takes effect.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_diffreg.mirror import publish_growth
from tune_diffreg.patience import Patiently, at_once
from tune_diffreg.results import (
    Journal,
    StudyFolder,
    TrialRecord,
    read_journal,
    replay,
    wall_seconds,
)
from tune_diffreg.results.journal import Event
from tune_diffreg.results.trials import apply
from tune_diffreg.search.budget import Budget
from tune_diffreg.search.halving import Decision
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.search.restore import draw_controls, restore_halving
from tune_diffreg.search.warm_start import warm_start
from tune_diffreg.study import Study, TrialConfig

Listener = Callable[[Event], None]

_END_OF = {Decision.COMPLETE: "complete", Decision.PRUNE: "pruned"}


@dataclass(frozen=True)
class Assignment:
    """A trial to run or to go on with."""

    trial_id: str
    config: TrialConfig
    reported: tuple[int, ...]
    """Images seen at the rungs that are in the journal already."""


class Coordinator:
    """Decides for one study. Made anew from the journal, it goes on where that ends.

    Args:
        clock: seconds since any fixed moment; counts against `search.hours`.
        open_proposals: makes the proposals from the study, their file, and the claimed numbers.
        patiently: writes again while the storage cannot be written.

    Raises:
        InputError: `search.warm_start` cannot be used.
        StorageLost: by all methods that decide. The decision has not been made; a coordinator
            made from the journal later makes it again, and this one must not be asked any more.
    """

    def __init__(  # noqa: PLR0913
        self,
        study: Study,
        folder: StudyFolder,
        listener: Listener,
        clock: Callable[[], float] = time.monotonic,
        open_proposals: Callable[[Study, Path, set[int]], Proposals] = Proposals,
        *,
        patiently: Patiently = at_once,
    ) -> None:
        self._study = study
        self._rungs = study.rungs()
        self.listener = listener
        self.interrupted = False
        self._optuna_file = folder.proposals
        self._patiently = patiently
        self.journal = Journal(folder.journal, patiently)
        events = read_journal(folder.journal)
        self.records = replay(events)
        self._running = {r.id: r for r in self.records.values() if r.state == "running"}
        self._to_continue = list(self._running)
        self._halving = restore_halving(study, events, self.records)
        claimed = {r.proposal for r in self.records.values() if r.proposal is not None}
        self._proposals = open_proposals(study, folder.proposals, claimed)
        if not events:
            warm_start(study, self._proposals)
        images = sum(record.images for record in self.records.values())
        self._budget = Budget(study, images, wall_seconds(events), clock)
        self._entrants = study.search.trials - len(study.search.baselines)
        self._controls = draw_controls(study)
        self._recover()

    def begin(self, provenance: dict[str, str], floor: dict[str, Any] | None = None) -> None:
        """Notes that a session begins, with which hashes and versions, and what real images score.

        Args:
            floor: the distance of real images, and with how many it was taken.
        """
        told = {} if floor is None else {"floor": floor}
        self._note("session", provenance=provenance, **told)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to run."""
        waiting = self._running or self._halving.paused()
        return not waiting and (self._all_started or self._budget.spent())

    def next_trial(self) -> Assignment | None:
        """A trial for a free slot: interrupted ones first, then promoted, baselines, proposals.

        None when there is none now.
        """
        if self.interrupted:
            return None
        if self._to_continue:
            return self._assignment(self.records[self._to_continue.pop(0)])
        if self._budget.spent(self._running.values()):
            return None
        promoted = self._halving.promotable(closing=self._closing)
        if promoted is not None:
            return self._promote(promoted)
        return None if self._all_started else self._start()

    def report(
        self, trial_id: str, images: int, seconds: float, scores: Mapping[str, float]
    ) -> Decision:
        """Records the scores of a trial at a rung and decides what becomes of it.

        A score that is not finite fails the trial. A rung that is already in the journal (the
        trial was restarted from before it) is not counted again.
        """
        record = self.records[trial_id]
        if record.state != "running":
            return Decision.PRUNE
        if any(report.images == images for report in record.reports):
            return Decision.CONTINUE
        reason = not_finite(scores, images)
        if reason:
            self.fail(trial_id, reason)
            return Decision.FAIL
        decision = self._judge(record, images, scores)
        self._budget.spend(images - record.images)
        others = (other for other in self._running.values() if other is not record)
        if decision.goes_on and self._budget.stops(others):
            decision = Decision.PRUNE
        self._note(
            "report",
            trial=trial_id,
            images=images,
            seconds=round(seconds, 3),
            scores=dict(scores),
            decision=decision.value,
        )
        if record.proposal is not None:
            self._proposals.report(record.proposal, images, scores[self._study.objective.metric])
        if decision in _END_OF:
            self._end(record, _END_OF[decision])
        elif decision is Decision.PAUSE:
            del self._running[trial_id]
        self._give_up_hopeless()
        return decision

    def fail(self, trial_id: str, reason: str) -> None:
        """Ends a trial that cannot go on; the others do not notice."""
        record = self.records[trial_id]
        if not record.ended:
            self._end(record, "failed", reason)
            self._give_up_hopeless()

    def again(self, trial_id: str, reason: str) -> None:
        """Has a trial whose process ended before its time go on from its checkpoint, next of all.

        No decision, so not in the journal.
        """
        if self.records[trial_id].state == "running":
            self._to_continue.append(trial_id)
            self.listener({"event": "again", "trial": trial_id, "reason": reason})

    def progress(self, trial_id: str, images: int, **seen: Any) -> None:
        """Passes on that a trial is alive, and what is `seen` of it.

        No decision, so not in the journal.
        """
        self.listener({"event": "progress", "trial": trial_id, "images": images, **seen})

    def interrupt(self) -> None:
        """Starts no more trials and stops each running one at its next sign of life.

        They have not ended: a coordinator made from the journal later goes on with them.
        """
        self.interrupted = True
        self.listener({"event": "interrupt"})

    def close(self, finished: bool) -> None:
        """Notes that the session ends, and whether the study does."""
        self._note("stop", finished=finished)

    @property
    def _all_started(self) -> bool:
        return len(self.records) >= self._study.search.trials

    @property
    def _closing(self) -> bool:
        return self._all_started and not self._running

    def _start(self) -> Assignment:
        index = len(self.records)
        trial_id = f"t{index:04d}"
        baselines = list(self._study.search.baselines.items())
        if index < len(baselines):
            name, values = baselines[index]
            self._note(
                "start", trial=trial_id, values=values, baseline=name, control=False, proposal=None
            )
        else:
            proposal = self._proposals.ask()
            self._note(
                "start",
                trial=trial_id,
                values=proposal.values,
                baseline=None,
                control=index in self._controls,
                proposal=proposal.number,
            )
        return self._assignment(self.records[trial_id])

    def _promote(self, trial_id: str) -> Assignment:
        self._note("promote", trial=trial_id)
        self._halving.release(trial_id)
        return self._assignment(self.records[trial_id])

    def _assignment(self, record: TrialRecord) -> Assignment:
        self._running[record.id] = record
        reported = tuple(report.images for report in record.reports)
        return Assignment(record.id, self._study.trial_config(record.values), reported)

    def _judge(self, record: TrialRecord, images: int, scores: Mapping[str, float]) -> Decision:
        """Baselines run to the end and set no standard at the rungs: they are chosen, not drawn,
        and an unregularised one would have every regularised trial pruned early."""
        if record.baseline is not None:
            done = images >= self._study.training.images
            return Decision.COMPLETE if done else Decision.CONTINUE
        rank = self._study.objective.rank(scores)
        return self._halving.report(record.id, images, rank, exempt=record.control)

    def _give_up_hopeless(self) -> None:
        """Ends the paused trials that will not be promoted any more."""
        nothing_left = self._closing and self._halving.promotable(closing=True) is None
        over = nothing_left or self._budget.spent()
        entrants, exempt = (0, 0) if over else (self._entrants, len(self._controls))
        for trial_id in self._halving.drop_hopeless(entrants, exempt):
            self._end(self.records[trial_id], "pruned")

    def _end(self, record: TrialRecord, state: str, reason: str | None = None) -> None:
        self._note("end", trial=record.id, state=state, reason=reason)
        self._running.pop(record.id, None)
        self._tell(record)

    def _tell(self, record: TrialRecord) -> None:
        """Lets the proposals learn from a trial that has ended."""
        objective = self._study.objective
        if record.proposal is not None:
            value = record.scores.get(objective.metric)
            excess = objective.excess(record.scores) if record.scores else {}
            self._proposals.tell(record.proposal, record.state, value, excess)
        elif record.baseline is not None and record.state == "complete":
            self._proposals.add_finished(
                record.baseline,
                self._study.trial_config(record.values),
                {report.images: report.scores[objective.metric] for report in record.reports},
                complete=True,
                violations=objective.excess(record.scores),
            )

    def _recover(self) -> None:
        """Carries out what was decided and did not take effect, and tells the proposals what they
        were not in time."""
        for record in self.records.values():
            if record.proposal is not None:
                for report in record.reports:
                    value = report.scores[self._study.objective.metric]
                    self._proposals.report(record.proposal, report.images, value)
            if record.ended:
                self._tell(record)
            elif record.reports and Decision(record.reports[-1].decision) in _END_OF:
                self._to_continue.remove(record.id)
                self._end(record, _END_OF[Decision(record.reports[-1].decision)])
        self._give_up_hopeless()

    def _note(self, event: str, **content: Any) -> None:
        self._proposals.save()  # no later than the decision that rests on them
        self._patiently(lambda: publish_growth(self._optuna_file))
        written = self.journal.append(event, **content)
        apply(self.records, written)
        self.listener(written)


def not_finite(scores: Mapping[str, float], images: int) -> str:
    """Says which score is no finite number, for which a training fails; empty if all are."""
    wrong = [name for name, score in scores.items() if not math.isfinite(score)]
    return f"{wrong[0]} became {scores[wrong[0]]} at {images:,} images seen" if wrong else ""
