"""Confirmation in words and in a table: what terminal, report, MLflow and exports all show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tune_diffreg.results.journal import Event
from tune_diffreg.results.trials import has_ended, replay
from tune_diffreg.study import Study
from tune_diffreg.words import allowed, score, score_name, within

Told = dict[str, Any]
"""A part of what `conclude` returns."""


def confirmation_rows(study: Study, confirmation: Told) -> list[list[str]]:
    """A head, then a row a candidate: confirmed scores with intervals, and what was believed."""
    metric = study.objective.metric
    names = dict.fromkeys((metric, *study.objective.constraints))
    titles = [score_name(name, short=True) for name in names]
    rows = [["", *titles, "believed", "feasible", "to best baseline"]]
    for trial, found in confirmation["candidates"].items():
        mark = "chosen: " if trial == confirmation["chosen"] else ""
        failed = f" ({found['failed']} of {confirmation['seeds']} failed)"
        rows.append(
            [
                f"{mark}{found['baseline'] or trial}{failed if found['failed'] else ''}",
                *(interval(name, found["scores"].get(name)) for name in names),
                score(metric, found["believed"]),
                _feasible(found),
                difference(metric, found["to_best_baseline"]),
            ]
        )
    return rows


def verdict(study: Study, confirmation: Told, trial: str | None = None) -> list[str]:
    """The decision in sentences: what to use, how sure, what ties with it, how much was luck.

    Args:
        trial: a candidate to tell of in place of the choice.
    """
    metric, entries = study.objective.metric, confirmation["candidates"]
    subject = entries[trial or confirmation["chosen"]]
    chosen = entries[confirmation["chosen"]]
    if not subject["completed"]:
        return [f"Every training of {subject['label']} on fresh seeds failed."]
    value = interval(metric, subject["scores"][metric])
    shown = f"{score_name(metric, short=True)} {value}"
    sentences = [
        f"Confirmed on {subject['completed']} fresh seeds and the test split: {subject['label']}, "
        f"{shown} (95 % interval)."
        if subject["completed"] > 1
        else f"{subject['label']} was scored on one fresh seed and the test split, {shown}; there "
        "is no interval."
    ]
    if subject["failed"]:
        sentences.append(
            f"{subject['failed']} of its {subject['failed'] + subject['completed']} trainings on "
            "fresh seeds failed, and are in no mean."
        )
    sentences += _constraints(study, subject, chosen)
    sentences.append(_against_baseline(metric, confirmation, subject))
    if subject is chosen:
        ties = [c["label"] for c in entries.values() if c["ties_with_chosen"]]
        sentences += [f"It cannot be told from {', '.join(ties)}."] if ties else []
    elif subject["ties_with_chosen"]:
        sentences.append(f"The study chose {chosen['label']}, from which it cannot be told.")
    else:
        sentences.append(f"The study chose {chosen['label']}.")
    others = [c["label"] for c in entries.values() if c is not subject and c["failed"]]
    if others and subject is chosen:
        sentences.append(f"Trainings of {', '.join(others)} failed too.")
    return sentences + _luck(metric, confirmation, subject)


def headline(confirmation: Told) -> str:
    """What to do, in one sentence."""
    chosen = confirmation["candidates"][confirmation["chosen"]]
    if chosen["feasible"]:
        return f"Use {chosen['label']}."
    return f"Use none as it is: on fresh seeds even {chosen['label']} breaks a constraint."


def unfinished(study: Study, events: Sequence[Event]) -> list[str]:
    """That results may change, in a sentence, if the study has not ended."""
    if has_ended(events):
        return []
    ended = sum(record.ended for record in replay(events).values())
    if ended >= study.search.trials:
        if study.confirmation is None:  # only its last word is missing
            return []
        return ["The search has ended and the confirmation has not, so this may change."]
    return [
        f"The study has not ended ({ended} of {study.search.trials} trials have), so this may "
        "change."
    ]


def interval(name: str, found: Told | None) -> str:
    """A mean with its 95 % interval, where it has one."""
    if found is None or found["low"] is None:
        return "-" if found is None else score(name, found["mean"])
    below, above = found["mean"] - found["low"], found["high"] - found["mean"]
    if below == above == 0 and score(name, 1.0).endswith("%"):
        return f"{score(name, found['mean'])} on every seed"  # which is no certainty: no ± 0
    if abs(below - above) > 1e-9 * max(1.0, abs(found["mean"])):  # cut off at 0 or 100 %
        return (
            f"{score(name, found['mean'])} ({score(name, found['low'])} to "
            f"{score(name, found['high'])})"
        )
    return within(name, found["mean"], below)


def difference(name: str, found: Told | None) -> str:
    """A difference of two means with its interval."""
    if found is None:
        return "-"
    return within(
        name, found["mean"], None if found["low"] is None else found["mean"] - found["low"]
    )


def _feasible(found: Told) -> str:
    if not found["feasible"]:
        return "no"
    return "on average" if found["beyond_bound"] else "yes"


def _constraints(study: Study, subject: Told, chosen: Told) -> list[str]:
    """That it breaks a constraint, or where it may."""
    if not subject["feasible"]:
        too = ", as every candidate does" if subject is chosen else ""
        return [f"It breaks a constraint{too}: do not use it as it is."]
    found = []
    for name in subject["beyond_bound"]:
        bound = allowed(name, study.objective.constraints[name].model_dump(exclude_none=True))
        shown = f"{score_name(name, short=True)} {interval(name, subject['scores'][name])}"
        found.append(
            f"It meets its constraint on average, and the interval reaches beyond the bound: "
            f"{shown}, where {bound} is allowed."
        )
    return found


def _against_baseline(metric: str, confirmation: Told, subject: Told) -> str:
    if confirmation["best_baseline"] is None:
        return "There is no baseline to compare it with."
    baseline = confirmation["candidates"][confirmation["best_baseline"]]
    name = baseline["label"]
    if subject is baseline:
        return f"That is a baseline: no finalist is better than {name}."
    if subject["baseline"] is not None:
        return f"That is a baseline, and not the best of them, which is {name}."
    return _against(name, _told(metric, subject), subject)


def _against(name: str, told: str, subject: Told) -> str:
    """What may be claimed of a finalist.

    Args:
        name: of the best baseline.
        told: by how much the objective differs from its.
    """
    by, certain = subject["improvement"]["by"], subject["improvement"]["certain"]
    if by == "constraints" and certain:
        return f"It meets the constraints, as no baseline does; it differs from {name}{told}."
    if by == "constraints":
        return (
            f"It meets the constraints and the best baseline, {name}, does not, but not beyond "
            f"what chance gives; it differs from it{told}."
        )
    if certain:
        return f"It is better than the best baseline, {name},{told}."
    plain = subject["to_best_baseline"]
    if by is not None and plain is not None and plain["high"] < 0:
        told += ", enough for the only finalist and not for the best of several"
    return (
        f"It is not better than the best baseline, {name}, beyond what chance gives: it differs"
        f"{told}."
    )


def _told(metric: str, subject: Told) -> str:
    """By how much it differs from the best baseline, where that is known."""
    if subject["to_best_baseline"] is None:
        return " by what cannot be told from so few seeds"
    return f" by {difference(metric, subject['to_best_baseline'])}, paired by seed"


def _luck(metric: str, confirmation: Told, subject: Told) -> list[str]:
    """What the search believed, of this one and, where that is a baseline, of its own best."""
    entries = confirmation["candidates"].values()
    finalists = [c for c in entries if c["baseline"] is None and c["completed"]]
    about = [subject] if subject["baseline"] is None else finalists[:1]
    sentences = []
    for found in about:
        gap = found["scores"][metric]["mean"] - found["believed"]
        whom = "" if found is subject else f" of {found['label']}, the best it had found,"
        sentences.append(
            f"The search believed{whom} {score(metric, found['believed'])} on its own seed and "
            f"split; confirmation found {score(metric, abs(gap))} {_more(gap)}."
        )
    shared = confirmation["baselines_gap"]
    if sentences and shared is not None:
        sentences.append(
            f"Of baselines, which no search picked, it found {score(metric, abs(shared))} "
            f"{_more(shared)}: so much comes of other seeds and another split."
        )
    return sentences


def _more(gap: float) -> str:
    return "more" if gap > 0 else "less"
