"""What repetitions on fresh seeds and the test split say: means, intervals, ties, the choice."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from tune_diffreg.errors import InputError
from tune_diffreg.results.journal import Event
from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.seeds import derive
from tune_diffreg.study import Study, TrialConfig

_CONFIDENCE = 0.95


@dataclass
class Repetition:
    """One configuration trained once more, with a seed that the search never used."""

    id: str
    trial: str
    number: int
    """Of the seed, from 1; equal numbers have equal seeds and latents."""
    state: str = "running"
    scores: dict[str, float] = field(default_factory=dict)
    images: int = 0
    seconds: float = 0.0
    reason: str | None = None


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % t-interval; the ends are None from one value."""

    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> Interval:
        mean = fmean(values)
        if len(values) < 2:
            return cls(mean, None, None)
        from scipy import stats  # takes a second to import

        t = float(stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1))
        reach = t * stdev(values) / math.sqrt(len(values))
        return cls(mean, mean - reach, mean + reach)

    @property
    def below_zero(self) -> bool:
        return self.high is not None and self.high < 0

    @property
    def above_zero(self) -> bool:
        return self.low is not None and self.low > 0


def repetitions(events: Iterable[Event]) -> dict[str, Repetition]:
    """All repetitions by id, in the order in which they were started."""
    found: dict[str, Repetition] = {}
    for event in events:
        apply_repetition(found, event)
    return found


def apply_repetition(found: dict[str, Repetition], event: Event) -> None:
    """Brings `found` up to date with one more event.

    Raises:
        InputError: it is about a repetition that was never started.
    """
    kind = event["event"]
    if kind == "repeat":
        found[event["run"]] = Repetition(event["run"], event["trial"], event["number"])
    elif kind == "repeated":
        run = _begun(found, event)
        run.state, run.scores = "complete", event["scores"]
        run.images, run.seconds = event["images"], event["seconds"]
    elif kind == "repeat_failed":
        run = _begun(found, event)
        run.state, run.reason = "failed", event["reason"]


def _begun(found: dict[str, Repetition], event: Event) -> Repetition:
    """The repetition that an event is about."""
    run = found.get(event["run"])
    if run is None:
        raise InputError(
            f"the study's journal is damaged: it tells of repetition {event['run']!r} and not of "
            "its start"
        )
    return run


def repeated_config(study: Study, record: TrialRecord, run: Repetition) -> TrialConfig:
    """The configuration of a trial with the fresh seed and latents that all candidates share."""
    fresh = {
        "training.seed": derive(study.search.seed, "confirmation", run.number) % 2**32,
        "evaluation.latents": study.evaluation.latents + run.number * study.evaluation.samples,
    }
    return study.trial_config({**record.values, **fresh})


def candidates(study: Study, records: Mapping[str, TrialRecord]) -> list[str]:
    """The trials that confirmation repeats, best finalists first, then the baselines.

    Feasible trials alone are finalists, unless there is none.
    """
    if study.confirmation is None:
        return []
    complete = [record for record in records.values() if record.state == "complete"]
    proposed = sorted(
        (record for record in complete if record.baseline is None),
        key=lambda record: study.objective.rank(record.scores),
    )
    feasible = [r for r in proposed if study.objective.violation(r.scores) == 0]
    finalists = (feasible or proposed)[: study.confirmation.finalists]
    return [record.id for record in (*finalists, *(r for r in complete if r.baseline is not None))]


def conclude(
    study: Study, records: Mapping[str, TrialRecord], runs: Mapping[str, Repetition]
) -> dict[str, Any] | None:
    """The content of `summary.json` on confirmation; None before it is over."""
    chosen_from = candidates(study, records)
    if study.confirmation is None or not chosen_from:
        return None
    planned = len(chosen_from) * study.confirmation.seeds
    if sum(run.state != "running" for run in runs.values()) < planned:
        return None
    by_trial = {
        trial: {run.number: run for run in runs.values()
                if run.trial == trial and run.state == "complete"}
        for trial in chosen_from
    }  # fmt: skip
    found = {t: _Candidate(study, records[t], done) for t, done in by_trial.items() if done}
    if not found:
        return None
    chosen = min(found.values(), key=_Candidate.rank)
    baselines = [c for c in found.values() if c.record.baseline is not None]
    baseline = min(baselines, key=_Candidate.rank, default=None)
    return {
        "split": "test",
        "samples": study.evaluation.samples,
        "seeds": study.confirmation.seeds,
        "candidates": {trial: c.told(baseline, chosen) for trial, c in found.items()},
        "chosen": chosen.record.id,
        "best_baseline": None if baseline is None else baseline.record.id,
        "improves": baseline is not None and _improves(chosen, baseline),
        "winners_curse": chosen.mean(study.objective.metric) - chosen.believed,
    }


class _Candidate:
    """One configuration with its repetitions."""

    def __init__(self, study: Study, record: TrialRecord, runs: Mapping[int, Repetition]) -> None:
        self.record = record
        self._study = study
        self._runs = runs
        self.believed = record.scores[study.objective.metric]

    def values(self, score: str) -> dict[int, float]:
        """Seed number -> score."""
        return {n: run.scores[score] for n, run in self._runs.items() if score in run.scores}

    def mean(self, score: str) -> float:
        return fmean(self.values(score).values())

    @property
    def violation(self) -> float:
        """Of the means over the seeds."""
        names = set().union(*(run.scores for run in self._runs.values()))
        return self._study.objective.violation({name: self.mean(name) for name in names})

    def rank(self) -> tuple[float, float]:
        return self.violation, self.mean(self._study.objective.metric)

    def difference(self, other: _Candidate) -> Interval | None:
        """Of the objective, paired by seed; None without two seeds in common."""
        metric = self._study.objective.metric
        mine, theirs = self.values(metric), other.values(metric)
        paired = [mine[n] - theirs[n] for n in mine.keys() & theirs.keys()]
        return Interval.of(paired) if len(paired) > 1 else None

    def told(self, baseline: _Candidate | None, chosen: _Candidate) -> dict[str, Any]:
        """As `summary.json` has it."""
        objective = self._study.objective
        names = dict.fromkeys((objective.metric, *objective.constraints))
        to_baseline = self.difference(baseline) if baseline not in (None, self) else None
        to_chosen = self.difference(chosen) if chosen is not self else None
        return {
            "label": self.record.label,
            "baseline": self.record.baseline,
            "believed": self.believed,
            "scores": {
                name: {**vars(Interval.of(list(values.values()))), "values": list(values.values())}
                for name in names
                if (values := self.values(name))
            },
            "feasible": self.violation == 0,
            "to_best_baseline": None if to_baseline is None else vars(to_baseline),
            "ties_with_chosen": to_chosen is not None
            and not (to_chosen.above_zero or to_chosen.below_zero),
        }


def _improves(chosen: _Candidate, baseline: _Candidate) -> bool:
    """Whether the choice is better than the best baseline beyond what chance gives."""
    if chosen is baseline:
        return False
    if baseline.violation > 0:
        return chosen.violation == 0
    difference = chosen.difference(baseline)
    return difference is not None and difference.below_zero
