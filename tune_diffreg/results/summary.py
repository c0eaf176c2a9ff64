"""`summary.json`, `trials.csv` and `best.yaml`: the contract that scripts rely on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from tune_diffreg.files import write_atomically
from tune_diffreg.results.audit import audit
from tune_diffreg.results.best_config import best_config
from tune_diffreg.results.conclusion import conclude, why_unconfirmed
from tune_diffreg.results.confirmation import repetitions
from tune_diffreg.results.folder import StudyFolder
from tune_diffreg.results.formats import to_json, to_yaml
from tune_diffreg.results.journal import Event, read_journal
from tune_diffreg.results.ranking import best_trial
from tune_diffreg.results.soundness import require_sound
from tune_diffreg.results.trials import ENDED, TrialRecord, has_ended, replay, wall_seconds
from tune_diffreg.study import Study, TrialConfig
from tune_diffreg.study.space import value_at

if TYPE_CHECKING:
    import pandas as pd

State = Literal["running", "complete", "interrupted", "failed"]


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
        "best": best and _best(study, best, confirmation),
        "baselines": {
            record.baseline: _result(study, record)
            for record in trials
            if record.baseline and record.state == "complete"
        },
        "confirmation": confirmation,
        "unconfirmed": why_unconfirmed(study, records, runs),
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
        content = best_config(study, best, provenance, confirmation, summary["unconfirmed"])
        write_atomically(folder.best, to_yaml(content))


def chosen_trial(
    study: Study, records: dict[str, TrialRecord], confirmation: dict[str, Any] | None
) -> TrialRecord | None:
    """What confirmation chose; without one the best trial of full length, or None."""
    if confirmation is not None:
        return records[confirmation["chosen"]]
    return best_trial(study, records.values())


def usable(study: Study, record: TrialRecord, confirmation: dict[str, Any] | None) -> bool:
    """Whether a trial meets the constraints, on fresh seeds where it was confirmed on some."""
    if confirmation is not None and record.id in confirmation["candidates"]:
        return bool(confirmation["candidates"][record.id]["feasible"])
    return study.objective.violation(record.scores) == 0


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


def _best(study: Study, record: TrialRecord, confirmation: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "trial_id": record.id,
        "config": study.trial_config(record.values).model_dump(mode="json"),
        **_result(study, record),
        "feasible": usable(study, record, confirmation),
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
