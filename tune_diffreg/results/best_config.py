"""What is written into `best.yaml`: a trial, and what confirmation says of it."""

from __future__ import annotations

from typing import Any

from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.results.verdict import verdict
from tune_diffreg.study import Study

_OF_ALL = ("split", "samples", "training_seeds", "best_baseline", "chosen")


def best_config(
    study: Study,
    record: TrialRecord,
    provenance: dict[str, str],
    confirmation: dict[str, Any] | None = None,
    unconfirmed: str | None = None,
) -> dict[str, Any]:
    """The content of `best.yaml`: what `export` and `train` read.

    Args:
        confirmation: as `conclude` returns it; it may not know this trial.
        unconfirmed: why there is none, where it was tried.
    """
    known = confirmation is not None and record.id in confirmation["candidates"]
    return {
        "schema": 1,
        "study": study.name,
        "trial_id": record.id,
        "result": {
            "metric": study.objective.metric,
            "samples": study.evaluation.samples,
            "split": "validation",
            "feasible": study.objective.violation(record.scores) == 0,
            "scores": dict(record.scores),
        },
        "config": study.trial_config(record.values).model_dump(mode="json"),
        "resources": study.resources.model_dump(mode="json"),
        "provenance": {**provenance, "search_seed": study.search.seed},
        "search": {
            "space": {
                path: distribution.model_dump(mode="json", exclude_none=True)
                for path, distribution in study.search.space.items()
            },
            "objective": study.objective.model_dump(mode="json", exclude_none=True),
            "halving": study.halving and study.halving.model_dump(mode="json"),
        },
        **({"confirmation": _confirmed(study, record.id, confirmation)} if known else {}),
        **({"unconfirmed": unconfirmed} if unconfirmed else {}),
    }


def _confirmed(study: Study, trial: str, confirmation: dict[str, Any] | None) -> dict[str, Any]:
    """What confirmation says of one candidate, in numbers and in words."""
    assert confirmation is not None
    found = confirmation["candidates"][trial]
    return {
        **{key: confirmation[key] for key in _OF_ALL},
        "seeds": found["completed"],
        "improves": found["improvement"]["certain"],
        **found,
        "verdict": verdict(study, confirmation, trial),
    }
