"""What repetitions say: means, intervals, ties, the choice, and what may be claimed of it."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Any

from tune_diffreg.results.candidate import Candidate
from tune_diffreg.results.confirmation import Repetition, candidates, training_seed
from tune_diffreg.results.intervals import Interval, familywise
from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.study import Study


def conclude(
    study: Study, records: Mapping[str, TrialRecord], runs: Mapping[str, Repetition]
) -> dict[str, Any] | None:
    """The content of `summary.json` on confirmation; None before it is over, or if all failed."""
    found = _ended(study, records, runs)
    told = [candidate for candidate in found if candidate.completed]
    if study.confirmation is None or not told:
        return None
    metric = study.objective.metric
    chosen = min(told, key=Candidate.rank)
    baselines = [candidate for candidate in told if candidate.record.baseline is not None]
    baseline = min(baselines, key=Candidate.rank, default=None)
    finalists = sum(candidate.record.baseline is None for candidate in found)
    seeds = study.confirmation.seeds
    entries = {
        candidate.record.id: {
            **candidate.told(),
            **_compared(candidate, baseline, chosen),
            "improvement": _improvement(candidate, baseline, finalists),
        }
        for candidate in found
    }
    return {
        "split": "test",
        "samples": study.evaluation.samples,
        "seeds": seeds,
        "training_seeds": [training_seed(study, number) for number in range(1, seeds + 1)],
        "candidates": entries,
        "chosen": chosen.record.id,
        "best_baseline": None if baseline is None else baseline.record.id,
        "improves": entries[chosen.record.id]["improvement"]["certain"],
        "winners_curse": chosen.mean(metric) - chosen.believed,
        # Nobody picked these for their score, so that only seed and split are in it.
        "baselines_gap": fmean(b.mean(metric) - b.believed for b in baselines)
        if baselines
        else None,
    }


def why_unconfirmed(
    study: Study, records: Mapping[str, TrialRecord], runs: Mapping[str, Repetition]
) -> str | None:
    """That confirmation ended without a score, in a sentence; None where it did not."""
    found = _ended(study, records, runs)
    if not found or any(candidate.completed for candidate in found):
        return None
    reasons = dict.fromkeys(run.reason for run in runs.values() if run.reason)
    return (
        f"Nothing is confirmed: all {len(runs)} trainings on fresh seeds failed "
        f"({next(iter(reasons), 'no reason is known')})."
    )


def _ended(
    study: Study, records: Mapping[str, TrialRecord], runs: Mapping[str, Repetition]
) -> list[Candidate]:
    """Every candidate, once all its repetitions and those of the others have ended; else none."""
    wanted = candidates(study, records)
    if study.confirmation is None or not wanted:
        return []
    ended = [run for run in runs.values() if run.state != "running"]
    if len(ended) < len(wanted) * study.confirmation.seeds:
        return []
    return [
        Candidate(study, records[trial], [run for run in ended if run.trial == trial])
        for trial in wanted
    ]


def _compared(
    candidate: Candidate, baseline: Candidate | None, chosen: Candidate
) -> dict[str, Any]:
    """How one candidate differs from the best baseline and from the choice."""
    to_baseline = candidate.difference(baseline) if baseline is not None else None
    to_chosen = candidate.difference(chosen)
    return {
        "to_best_baseline": None if to_baseline is None else vars(to_baseline),
        "to_chosen": None if to_chosen is None else vars(to_chosen),
        # One that cannot be compared for want of seeds cannot be told from it either.
        "ties_with_chosen": candidate is not chosen
        and candidate.completed > 0
        and (to_chosen is None or to_chosen.holds_zero),
    }


def _improvement(
    candidate: Candidate, baseline: Candidate | None, finalists: int
) -> dict[str, Any]:
    """What makes a finalist better than the best baseline, and whether that is beyond chance.

    Where it alone meets the constraints they are the reason: its excess over each bound that the
    baseline breaks has to be lower. Else the objective is. The best of several finalists is
    compared on the seeds that chose it, so that each has an interval wide enough for all of them.

    Returns:
        by: "constraints", "objective", or None where there is no reason.
        confidence: of each interval.
        differences: score -> mean, low, high; paired by seed.
        certain: whether all lie below 0.
    """
    confidence = familywise(finalists)
    told: dict[str, Any] = {"by": None, "confidence": confidence, "differences": {}}
    comparable = baseline is not None and candidate.record.baseline is None
    if baseline is None or not comparable or not candidate.feasible:
        return {**told, "certain": False}
    differences: dict[str, Interval | None]
    if baseline.feasible:
        told["by"] = "objective"
        metric = candidate.metric
        differences = {metric: candidate.difference(baseline, confidence)}
    else:
        told["by"] = "constraints"
        differences = {
            name: candidate.difference_of_excess(baseline, name, confidence)
            for name in baseline.broken
        }
    told["differences"] = {name: d and vars(d) for name, d in differences.items()}
    certain = all(d is not None and d.below_zero for d in differences.values())
    return {**told, "certain": certain}
