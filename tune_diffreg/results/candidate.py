"""One configuration that confirmation repeated, and its scores over the seeds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from tune_diffreg.results.confirmation import Repetition
from tune_diffreg.results.intervals import CONFIDENCE, Interval
from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.study import Study
from tune_diffreg.study.scores import limits


class Candidate:
    """A finalist or a baseline with its repetitions, which have ended."""

    def __init__(self, study: Study, record: TrialRecord, runs: Sequence[Repetition]) -> None:
        self.record = record
        self.metric = study.objective.metric
        self.believed = record.scores[self.metric]
        self._objective = study.objective
        self._runs = {run.number: run for run in runs if run.state == "complete"}
        self._failed = len(runs) - len(self._runs)

    @property
    def completed(self) -> int:
        return len(self._runs)

    @property
    def feasible(self) -> bool:
        """Whether the means over the seeds meet every constraint."""
        return self.completed > 0 and self._objective.violation(self._means()) == 0

    @property
    def broken(self) -> list[str]:
        """The constraints that the means break."""
        excess = self._objective.excess(self._means())
        return [name for name, over in excess.items() if over > 0]

    def rank(self) -> tuple[bool, bool, float, float]:
        """Sorts candidates from best to worst.

        Among those that meet the constraints, and among those that do not, one of which a training
        failed comes last: its mean leaves out the seeds that went worst.
        """
        violation = self._objective.violation(self._means())
        return violation > 0, self._failed > 0, violation, self.mean(self.metric)

    def mean(self, score: str) -> float:
        return fmean(self._values(score).values())

    def difference(self, other: Candidate, confidence: float = CONFIDENCE) -> Interval | None:
        """Of the objective, paired by seed; None without two seeds in common."""
        if other is self:
            return None
        return _paired(self._values(self.metric), other._values(self.metric), confidence)

    def difference_of_excess(
        self, other: Candidate, constraint: str, confidence: float
    ) -> Interval | None:
        """Of what is beyond the bound of a constraint, likewise; below 0: it keeps it better."""
        return _paired(self._excess(constraint), other._excess(constraint), confidence)

    def told(self) -> dict[str, Any]:
        """As `summary.json` has it."""
        names = dict.fromkeys((self.metric, *self._objective.constraints))
        scores = {
            name: {
                **vars(Interval.of(list(values.values())).within(limits(name))),
                "values": list(values.values()),
            }
            for name in names
            if (values := self._values(name))
        }
        return {
            "label": self.record.label,
            "baseline": self.record.baseline,
            "believed": self.believed,
            "completed": self.completed,
            "failed": self._failed,
            "scores": scores,
            "feasible": self.feasible,
            "beyond_bound": self._beyond_bound(scores) if self.feasible else [],
        }

    def _values(self, score: str) -> dict[int, float]:
        """Seed number -> score."""
        return {n: run.scores[score] for n, run in self._runs.items() if score in run.scores}

    def _excess(self, constraint: str) -> dict[int, float]:
        return {n: self._objective.excess(run.scores)[constraint] for n, run in self._runs.items()}

    def _means(self) -> dict[str, float]:
        names = set().union(*(run.scores for run in self._runs.values()))
        return {name: self.mean(name) for name in names}

    def _beyond_bound(self, scores: dict[str, dict[str, Any]]) -> list[str]:
        """Constraints that the mean meets and an end of the interval does not."""
        means = self._means()
        found = []
        for name in self._objective.constraints:
            ends = [scores[name]["low"], scores[name]["high"]] if name in scores else []
            excess = (
                self._objective.excess({**means, name: e})[name] for e in ends if e is not None
            )
            if any(over > 0 for over in excess):
                found.append(name)
        return found


def _paired(mine: dict[int, float], theirs: dict[int, float], confidence: float) -> Interval | None:
    """Interval of the differences on the seeds that both have."""
    paired = [mine[n] - theirs[n] for n in sorted(mine.keys() & theirs.keys())]
    return Interval.of(paired, confidence) if len(paired) > 1 else None
