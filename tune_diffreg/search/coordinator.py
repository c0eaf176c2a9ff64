"""One study's search: proposals, halving and journal joined, with no framework in it.

Ray's adapters (or a simulator) tell it what trials report and carry out what it decides. Every
decision is in the journal, on the disk, before it takes effect.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tune_diffreg.results import Journal, StudyFolder, TrialRecord, read_journal, replay
from tune_diffreg.results.journal import Event
from tune_diffreg.results.trials import apply
from tune_diffreg.search.halving import Decision, Halving
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.seeds import coin
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
    """Decides for one study. Made anew from the journal, it goes on where that ends."""

    def __init__(
        self, study: Study, folder: StudyFolder, listener: Listener, provenance: dict[str, str]
    ) -> None:
        self._study = study
        self._listener = listener
        self.interrupted = False
        self._journal = Journal(folder.journal)
        events = read_journal(folder.journal)
        self.records = replay(events)
        self._to_continue = [r for r in self.records.values() if not r.ended]
        factor = study.halving.reduction_factor if study.halving else 2
        self._halving = Halving(study.rungs(), factor)
        claimed = {r.proposal for r in self.records.values() if r.proposal is not None}
        self._proposals = Proposals(study, folder.proposals, claimed)
        self._recover(events)
        self._note("session", provenance=provenance)

    @property
    def finished(self) -> bool:
        """Whether all trials have ended."""
        ended = sum(record.ended for record in self.records.values())
        return ended >= self._study.search.trials

    def next_trial(self) -> Assignment | None:
        """A trial to put on a free slot: interrupted ones first, then baselines, then proposals.

        None when no more are to be started.
        """
        if self.interrupted:
            return None
        if self._to_continue:
            return self._assignment(self._to_continue.pop(0))
        index = len(self.records)
        if index >= self._study.search.trials:
            return None
        trial_id = f"t{index:04d}"
        baselines = list(self._study.search.baselines.items())
        if index < len(baselines):
            name, values = baselines[index]
            self._start(trial_id, values, baseline=name, control=False, proposal=None)
        else:
            chance = self._study.halving.controls if self._study.halving else 0.0
            control = coin(self._study.search.seed, "control", index, chance)
            proposal = self._proposals.ask()
            self._start(
                trial_id, proposal.values, baseline=None, control=control, proposal=proposal.number
            )
        return self._assignment(self.records[trial_id])

    def report(
        self, trial_id: str, images: int, seconds: float, scores: Mapping[str, float]
    ) -> Decision:
        """Records the scores of a trial at a rung and decides what becomes of it.

        A score that is not finite fails the trial. A rung that is already in the journal (the
        trial was restarted from before it) is not counted again.
        """
        record = self.records[trial_id]
        if record.ended:
            return Decision.PRUNE
        broken = [name for name, score in scores.items() if not math.isfinite(score)]
        if broken:
            self.fail(trial_id, f"{broken[0]} became {scores[broken[0]]} at {images:,} images seen")
            return Decision.PRUNE
        if any(report.images == images for report in record.reports):
            return Decision.CONTINUE
        decision = self._judge(record, images, scores)
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
        if decision is not Decision.CONTINUE:
            self._end(record, _END_OF[decision])
        return decision

    def fail(self, trial_id: str, reason: str) -> None:
        """Ends a trial that cannot go on; the others do not notice."""
        record = self.records[trial_id]
        if not record.ended:
            self._end(record, "failed", reason)

    def progress(self, trial_id: str, images: int) -> None:
        """Passes on that a trial is alive between rungs; not a decision, so not in the journal."""
        self._listener({"event": "progress", "trial": trial_id, "images": images})

    def interrupt(self) -> None:
        """Starts no more trials and stops each running one at its next sign of life.

        They have not ended: a coordinator made from the journal later goes on with them.
        """
        self.interrupted = True
        self._listener({"event": "interrupt"})

    def close(self) -> None:
        self._note("stop", finished=self.finished)
        self._journal.close()

    def _recover(self, events: list[Event]) -> None:
        """Fills the rungs from the journal, and tells the proposals what they were not in time."""
        for event in events:
            if event["event"] == "report":
                self._judge(self.records[event["trial"]], event["images"], event["scores"])
        for record in self.records.values():
            if record.proposal is not None:
                for report in record.reports:
                    value = report.scores[self._study.objective.metric]
                    self._proposals.report(record.proposal, report.images, value)
            if record.ended:
                self._tell(record)
            elif record.reports:
                self._settle(record, events)

    def _settle(self, record: TrialRecord, events: list[Event]) -> None:
        """Ends a trial whose last decision was journaled and whose end was not."""
        last = [e for e in events if e["event"] == "report" and e["trial"] == record.id][-1]
        if last["decision"] != Decision.CONTINUE:
            self._to_continue.remove(record)
            self._end(record, _END_OF[Decision(last["decision"])])

    def _judge(self, record: TrialRecord, images: int, scores: Mapping[str, float]) -> Decision:
        """Baselines run to the end and set no standard at the rungs: they are chosen, not drawn,
        and an unregularised one would have every regularised trial pruned early."""
        if record.baseline is not None:
            done = images >= self._study.training.images
            return Decision.COMPLETE if done else Decision.CONTINUE
        rank = self._study.objective.rank(scores)
        return self._halving.report(record.id, images, rank, exempt=record.control)

    def _start(self, trial_id: str, values: dict[str, Any], **content: Any) -> None:
        self._note("start", trial=trial_id, values=values, **content)

    def _assignment(self, record: TrialRecord) -> Assignment:
        reported = tuple(report.images for report in record.reports)
        return Assignment(record.id, self._study.trial_config(record.values), reported)

    def _end(self, record: TrialRecord, state: str, reason: str | None = None) -> None:
        self._note("end", trial=record.id, state=state, reason=reason)
        self._tell(record)

    def _tell(self, record: TrialRecord) -> None:
        """Lets the proposals learn from a trial that has ended."""
        objective = self._study.objective
        violations = {
            name: record.scores[name] - bound.max
            for name, bound in objective.constraints.items()
            if record.scores
        }
        value = record.scores.get(objective.metric)
        if record.proposal is not None:
            self._proposals.tell(record.proposal, record.state, value, violations)
        elif record.baseline is not None and record.state == "complete" and value is not None:
            config = self._study.trial_config(record.values)
            self._proposals.add_baseline(record.baseline, config, value, violations)

    def _note(self, event: str, **content: Any) -> None:
        written = self._journal.append(event, **content)
        apply(self.records, written)
        self._listener(written)
