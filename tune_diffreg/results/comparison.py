"""Baselines beside the best trial: what terminal and report both show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tune_diffreg.results.ranking import best_trial
from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.study import Study
from tune_diffreg.study.scores import kernel_distance
from tune_diffreg.study.space import value_at
from tune_diffreg.words import knob, score_name, setting, within

_SIDE_SCORES = ("memorized_fraction", "heldout_memorized_fraction", "validation_loss", "loss_gap")


def compared(
    study: Study, records: dict[str, TrialRecord], chosen: TrialRecord | None = None
) -> list[tuple[str, TrialRecord]]:
    """The baselines and the best trial, each with its title.

    Args:
        chosen: stands for the best trial, where confirmation chose.
    """
    word = "best" if chosen is None else "chosen"
    best = chosen or best_trial(study, records.values())
    shown = [r for r in records.values() if r.baseline and r.state == "complete"]
    if best is not None and best not in shown:
        shown.append(best)
    titles = [r.baseline or r.id for r in shown]
    return [(f"{word}: {t}" if r is best else t, r) for t, r in zip(titles, shown, strict=True)]


def _with_error(name: str, scores: Mapping[str, float]) -> str:
    return within(name, scores.get(name), scores.get(f"{name}_se"))


def comparison_rows(study: Study, trials: Iterable[TrialRecord]) -> list[tuple[str, list[str]]]:
    """Each searched setting, then the scores: a name and a cell for each of the trials."""
    trials = list(trials)
    rows = []
    configs = [study.trial_config(record.values) for record in trials]
    for path, distribution in study.search.space.items():
        cells = []
        for config in configs:
            values = {p: value_at(config, p) for p in study.search.space}
            cells.append(setting(values[path]) if distribution.applies(values) else "-")
        rows.append((knob(path, study.search.space), cells))
    kernel = kernel_distance(study.evaluation.feature_name)
    names = (study.objective.metric, study.distance, kernel, *study.objective.constraints)
    for name in dict.fromkeys((*names, *_SIDE_SCORES)):
        rows.append((score_name(name, short=True), [_with_error(name, r.scores) for r in trials]))
    if study.objective.constraints:
        met = (study.objective.violation(record.scores) == 0 for record in trials)
        rows.append(("feasible", ["yes" if yes else "no" for yes in met]))
    return rows
