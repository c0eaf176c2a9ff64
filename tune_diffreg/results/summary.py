"""`summary.json`, `trials.csv` and `best.yaml`: the contract that scripts rely on."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal

import tune_diffreg
from tune_diffreg.files import write_atomically
from tune_diffreg.results.audit import audit
from tune_diffreg.results.confirmation import conclude, repetitions
from tune_diffreg.results.folder import StudyFolder
from tune_diffreg.results.formats import to_json, to_yaml
from tune_diffreg.results.journal import Event, read_journal
from tune_diffreg.results.ranking import best_trial
from tune_diffreg.results.soundness import require_sound
from tune_diffreg.results.trials import ENDED, TrialRecord, replay, wall_seconds
from tune_diffreg.study import Study, TrialConfig
from tune_diffreg.study.space import value_at

if TYPE_CHECKING:
    import pandas as pd

State = Literal["running", "complete", "interrupted", "failed"]
_RECORDED_PACKAGES = ("torch", "torchvision", "diffusers", "ray", "optuna", "mlflow")


def summarize(
    study: Study, records: dict[str, TrialRecord], events: Sequence[Event], state: State
) -> dict[str, Any]:
    """The content of `summary.json`.

    Args:
        records: `replay` of the events.
    """
    runs = repetitions(events)
    trials = list(records.values())
    confirmation = conclude(study, records, runs)
    best = chosen_trial(study, records, confirmation)
    return {
        "study": study.name,
        "state": state,
        "trials": {
            "total": len(trials),
            **{ended: sum(r.state == ended for r in trials) for ended in ENDED},
        },
        "objective": {
            "metric": study.objective.metric,
            "samples": study.evaluation.samples,
            "split": "validation",
        },
        "floor": first_floor(events),
        "best": best and _best(study, best),
        "baselines": {
            record.baseline: _result(study, record)
            for record in trials
            if record.baseline and record.state == "complete"
        },
        "confirmation": confirmation,
        "audit": audit(study, trials),
        "images_seen": sum(record.images for record in trials)
        + sum(run.images for run in runs.values()),
        "wall_s": round(wall_seconds(events), 1),
    }


def read_state(folder: StudyFolder, running: bool | None = None) -> dict[str, Any]:
    """The summary of a study as it stands now, also while it runs (state "running").

    Args:
        running: whether it is being run now; None asks its lock.
    """
    study = folder.read_study()
    if running is None:  # asked first: one that ends meanwhile has its end in the journal
        running = folder.is_locked()
    events = read_journal(folder.journal) if folder.journal.exists() else []
    records, runs = replay(events), repetitions(events)
    require_sound(folder.journal, study, records, runs)
    if running:
        state: State = "running"
    elif not has_ended(events):
        state = "interrupted"
    else:
        state = final_state(records.values())
    return summarize(study, records, events, state)


def has_ended(events: Iterable[Event]) -> bool:
    """Whether the study has nothing left to do."""
    return any(event["event"] == "stop" and event["finished"] for event in events)


def first_provenance(events: Iterable[Event]) -> dict[str, str]:
    """With which hashes and versions the study was started; empty where none tells."""
    return next((event.get("provenance", {}) for event in events), {})


def first_floor(events: Iterable[Event]) -> dict[str, Any] | None:
    """What real images score, and at how many; None for a study begun when that was not noted."""
    return next((event["floor"] for event in events if "floor" in event), None)


def final_state(records: Iterable[TrialRecord]) -> State:
    """A study whose trials have all ended has failed if none of them reached full length."""
    return "complete" if any(r.state == "complete" for r in records) else "failed"


def write_results(
    folder: StudyFolder,
    study: Study,
    records: dict[str, TrialRecord],
    summary: dict[str, Any],
    provenance: dict[str, str],
) -> None:
    """Writes the three files, each whole or not at all.

    Args:
        provenance: hashes of data and features, and versions, when the study was started.
    """
    write_atomically(folder.trials_csv, trials_table(study, records).to_csv(index=False))
    write_atomically(folder.summary, to_json(summary))
    confirmation = summary["confirmation"]
    best = chosen_trial(study, records, confirmation)
    if best is not None:
        content = best_config(study, best, provenance)
        if confirmation is not None:
            content["confirmation"] = _confirmed(confirmation)
        write_atomically(folder.best, to_yaml(content))


def chosen_trial(
    study: Study, records: dict[str, TrialRecord], confirmation: dict[str, Any] | None
) -> TrialRecord | None:
    """What confirmation chose; without one the best trial of full length, or None."""
    if confirmation is not None:
        return records[confirmation["chosen"]]
    return best_trial(study, records.values())


def _confirmed(confirmation: dict[str, Any]) -> dict[str, Any]:
    """What `best.yaml` says of it."""
    chosen = confirmation["candidates"][confirmation["chosen"]]
    told = ("split", "samples", "seeds", "improves", "best_baseline")
    return {**{key: confirmation[key] for key in told}, **chosen}


def trials_table(study: Study, records: dict[str, TrialRecord]) -> pd.DataFrame:
    """One row a trial: id, state, rung, every searched value, every metric, seconds, images."""
    import pandas as pd  # takes a second to import

    rows = []
    for record in records.values():
        config = study.trial_config(record.values)
        last = record.reports[-1] if record.reports else None
        rows.append(
            {
                "id": record.id,
                "baseline": record.baseline,
                "control": record.control,
                "state": record.state,
                "rung": max((r for r in study.rungs() if r <= record.images), default=0),
                **{path: _searched_value(study, config, path) for path in study.search.space},
                **record.scores,
                "seconds": last and last.seconds,
                "images_seen": record.images,
                "reason": record.reason,
            }
        )
    return pd.DataFrame(rows)


def best_config(study: Study, best: TrialRecord, provenance: dict[str, str]) -> dict[str, Any]:
    """The content of `best.yaml`: what `export` and `train` read."""
    return {
        "schema": 1,
        "study": study.name,
        "trial_id": best.id,
        "result": {
            "metric": study.objective.metric,
            "samples": study.evaluation.samples,
            "split": "validation",
            "feasible": study.objective.violation(best.scores) == 0,
            "scores": dict(best.scores),
        },
        "config": study.trial_config(best.values).model_dump(mode="json"),
        "resources": study.resources.model_dump(mode="json"),
        "provenance": provenance,
        "search": {
            "space": {
                path: distribution.model_dump(mode="json", exclude_none=True)
                for path, distribution in study.search.space.items()
            },
            "objective": study.objective.model_dump(mode="json", exclude_none=True),
            "halving": study.halving and study.halving.model_dump(mode="json"),
        },
    }


def versions() -> dict[str, str]:
    """Versions of what takes part in a result."""
    return {
        "tune-diffreg": tune_diffreg.__version__,
        "python": platform.python_version(),
        **{package: found for package in _RECORDED_PACKAGES if (found := _version(package))},
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # a machine that only trains may do without it
        return None


def _best(study: Study, record: TrialRecord) -> dict[str, Any]:
    return {
        "trial_id": record.id,
        "config": study.trial_config(record.values).model_dump(mode="json"),
        **_result(study, record),
        "feasible": study.objective.violation(record.scores) == 0,
    }


def _result(study: Study, record: TrialRecord) -> dict[str, Any]:
    return {
        "value": record.scores[study.objective.metric],
        "constraints": {
            name: record.scores[name]
            for name in study.objective.constraints
            if name in record.scores
        },
    }


def _searched_value(study: Study, config: TrialConfig, path: str) -> Any:
    """The value in effect; None (an empty field) where a condition keeps it out of use."""
    distribution = study.search.space[path]
    if not distribution.applies({p: value_at(config, p) for p in study.search.space}):
        return None
    value = value_at(config, path)
    return "null" if value is None else value  # a null that was chosen is not an empty field
