"""Which trial is best, and which one looks best while none is complete."""

from __future__ import annotations

from collections.abc import Iterable

from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.study import Study


def best_trial(study: Study, records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The best trial of full length: a feasible one before any other; None if there is none."""
    complete = [record for record in records if record.state == "complete"]
    return min(complete, key=lambda r: study.objective.rank(r.scores), default=None)


def leading_trial(study: Study, records: Iterable[TrialRecord]) -> TrialRecord | None:
    """The proposed trial that a search would name if it had to name one now.

    That is the best one of full length. Before there is one it is the best at the highest rung
    that enough trials have reached for a comparison, the reduction factor: a control may be far
    ahead without having won anything. None before that.
    """
    proposed = [r for r in records if r.baseline is None and r.state != "failed"]
    best = best_trial(study, proposed)
    if best is not None or study.halving is None:
        return best
    for rung in reversed(study.rungs()):
        there = [
            (study.objective.rank(report.scores), index)
            for index, record in enumerate(proposed)
            for report in record.reports
            if report.images == rung
        ]
        if len(there) >= study.halving.reduction_factor:
            return proposed[min(there)[1]]
    return None
