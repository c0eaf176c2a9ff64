"""Confirmation in words and in a table: what terminal and report both show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tune_diffreg.results.journal import Event
from tune_diffreg.results.summary import has_ended
from tune_diffreg.results.trials import replay
from tune_diffreg.study import Study
from tune_diffreg.words import score, score_name, within


def confirmation_rows(study: Study, confirmation: dict[str, Any]) -> list[list[str]]:
    """A head, then a row a candidate: confirmed scores with intervals, and what was believed."""
    metric = study.objective.metric
    names = dict.fromkeys((metric, *study.objective.constraints))
    titles = [score_name(name, short=True) for name in names]
    rows = [["", *titles, "believed", "feasible", "to best baseline"]]
    for trial, found in confirmation["candidates"].items():
        mark = "chosen: " if trial == confirmation["chosen"] else ""
        cells = [interval(name, found["scores"].get(name)) for name in names]
        difference = found["to_best_baseline"]
        rows.append(
            [
                f"{mark}{found['baseline'] or trial}",
                *cells,
                score(metric, found["believed"]),
                "yes" if found["feasible"] else "no",
                "-" if difference is None else interval(metric, difference),
            ]
        )
    return rows


def verdict(study: Study, confirmation: dict[str, Any]) -> list[str]:
    """The decision in sentences: what to use, how sure, what ties with it, how much was luck."""
    metric, seeds = study.objective.metric, confirmation["seeds"]
    chosen = confirmation["candidates"][confirmation["chosen"]]
    label, value = chosen["label"], interval(metric, chosen["scores"][metric])
    sentences = [
        f"Confirmed on {seeds} fresh seeds and the test split: {label}, "
        f"{score_name(metric, short=True)} {value} (95 % interval).",
        _against_baseline(metric, confirmation),
    ]
    ties = [c["label"] for c in confirmation["candidates"].values() if c["ties_with_chosen"]]
    if ties:
        sentences.append(f"It cannot be told from {', '.join(ties)}.")
    if not chosen["feasible"]:
        sentences.append("It breaks a constraint, as every candidate does: do not use it as it is.")
    curse = confirmation["winners_curse"]
    if chosen["baseline"] is None:
        more = "more" if curse > 0 else "less"
        sentences.append(
            f"The search believed {score(metric, chosen['believed'])} on its own seed and split; "
            f"confirmation found {score(metric, abs(curse))} {more}."
        )
    return sentences


def unfinished(study: Study, events: Sequence[Event]) -> list[str]:
    """That results may change, in a sentence, if the study has not ended."""
    if has_ended(events):
        return []
    ended = sum(record.ended for record in replay(events).values())
    return [
        f"The study has not ended ({ended} of {study.search.trials} trials have), so this may "
        "change."
    ]


def _against_baseline(metric: str, confirmation: dict[str, Any]) -> str:
    if confirmation["best_baseline"] is None:
        return "There is no baseline to compare it with."
    baseline = confirmation["candidates"][confirmation["best_baseline"]]
    chosen = confirmation["candidates"][confirmation["chosen"]]
    name = baseline["label"]
    if chosen is baseline:
        return f"That is a baseline: no finalist is better than {name}."
    difference = chosen["to_best_baseline"]
    told = "" if difference is None else f" by {interval(metric, difference)}, paired by seed"
    if confirmation["improves"] and not baseline["feasible"]:
        return f"It meets the constraints, as no baseline does; it differs from {name}{told}."
    if confirmation["improves"]:
        return f"It is better than the best baseline, {name},{told}."
    return (
        f"It is not better than the best baseline, {name}, beyond what chance gives: it differs"
        f"{told}."
    )


def interval(name: str, found: dict[str, Any] | None) -> str:
    """A mean with its 95 % interval, where it has one."""
    if found is None:
        return "-"
    low = found["low"]
    return within(name, found["mean"], None if low is None else found["mean"] - low)
