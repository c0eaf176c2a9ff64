"""Repetitions on fresh seeds and the test split: which there are, and how they went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tune_diffreg.errors import InputError
from tune_diffreg.results.journal import Event
from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.seeds import derive
from tune_diffreg.study import Study, TrialConfig


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
        "training.seed": training_seed(study, run.number),
        "evaluation.latents": study.evaluation.latents + run.number * study.evaluation.samples,
    }
    return study.trial_config({**record.values, **fresh})


def training_seed(study: Study, number: int) -> int:
    """The fresh seed `number`, which the search never used."""
    return derive(study.search.seed, "confirmation", number) % 2**32


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
