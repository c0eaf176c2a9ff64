"""What each searched setting did to the objective, with how sure that is."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from scipy import stats

from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.study import Study
from tune_diffreg.study.space import value_at
from tune_diffreg.words import knob, setting

LEAST = 8
"""Trials of full length from which an effect is told."""
_DRAWS = 2000
_SURE = 0.95


@dataclass(frozen=True)
class Effect:
    """Of one setting on the objective at full length.

    Attributes:
        importance: PED-ANOVA's share (Watanabe et al. 2023), None where it cannot be told.
        correlation: Spearman's, of numbers; below 0: larger values score better.
        low, high: its 95 % interval, by bootstrap.
        best: of choices, the one whose trials score best in the middle.
        p_value: of the hypothesis that the setting changes nothing.
    """

    name: str
    importance: float | None
    correlation: float | None = None
    low: float | None = None
    high: float | None = None
    best: str | None = None
    p_value: float | None = None

    @property
    def sentence(self) -> str:
        """The effect in words, for people."""
        if self.p_value is None:
            return "cannot be told from so few trials"
        if self.p_value > 1 - _SURE:
            return "no visible effect"
        if self.best is not None:
            return f"{self.best} is best"
        assert self.correlation is not None
        return "larger is better" if self.correlation < 0 else "smaller is better"


def effects(study: Study, records: Iterable[TrialRecord]) -> list[Effect]:
    """Of every searched setting, most important first, over proposed trials of full length.

    Where the search found what is good it looked more often, so that these are associations among
    what was tried, and no experiment.
    """
    trials = [r for r in records if r.state == "complete" and r.baseline is None]
    scores = [record.scores[study.objective.metric] for record in trials]
    configs = [study.trial_config(record.values) for record in trials]
    importances = _importances(study, trials, scores)
    found = []
    for path, distribution in study.search.space.items():
        used = [
            (value_at(config, path), score)
            for config, record, score in zip(configs, trials, scores, strict=True)
            if distribution.applies(record.values)
        ]
        values, of_used = [value for value, _ in used], [score for _, score in used]
        name, importance = knob(path, study.search.space), importances.get(path)
        if len(used) < LEAST or len(set(map(str, values))) < 2:
            found.append(Effect(name, importance))
        elif distribution.choices is None:
            found.append(_of_numbers(name, importance, values, of_used))
        else:
            found.append(_of_choices(name, importance, values, of_used))
    return sorted(found, key=lambda effect: -(effect.importance or 0.0))


def _of_numbers(
    name: str, importance: float | None, values: Sequence[float], scores: Sequence[float]
) -> Effect:
    x, y = np.asarray(values, dtype=float), np.asarray(scores)
    whole = stats.spearmanr(x, y)
    draw = np.random.default_rng(0)
    drawn = []
    for _ in range(_DRAWS):
        chosen = draw.integers(0, len(x), len(x))
        if len(np.unique(x[chosen])) > 1 and len(np.unique(y[chosen])) > 1:
            drawn.append(stats.spearmanr(x[chosen], y[chosen]).statistic)
    low, high = np.quantile(drawn, [(1 - _SURE) / 2, (1 + _SURE) / 2])
    correlation, p = float(whole.statistic), float(whole.pvalue)
    if math.isnan(p):
        return Effect(name, importance)
    return Effect(name, importance, correlation, float(low), float(high), p_value=p)


def _of_choices(
    name: str, importance: float | None, values: Sequence[Any], scores: Sequence[float]
) -> Effect:
    groups: dict[str, list[float]] = {}
    for value, score in zip(values, scores, strict=True):
        groups.setdefault(setting(value), []).append(score)
    p = float(stats.kruskal(*groups.values()).pvalue) if len(set(scores)) > 1 else 1.0
    best = min(groups, key=lambda value: float(np.median(groups[value])))
    return Effect(name, importance, best=best, p_value=p)


def _importances(
    study: Study, trials: Sequence[TrialRecord], scores: Sequence[float]
) -> dict[str, float]:
    """PED-ANOVA's, of the settings that every trial has; empty where it cannot be told."""
    if len(trials) < LEAST:
        return {}
    shared = [path for path in study.search.space if all(path in r.values for r in trials)]
    known = {path: _distribution(study, path) for path in shared}
    told = optuna.create_study()
    for record, score in zip(trials, scores, strict=True):
        params = {path: _value(study, record, path) for path in shared}
        told.add_trial(optuna.trial.create_trial(params=params, distributions=known, value=score))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return get_param_importances(told, evaluator=PedAnovaImportanceEvaluator())
        except (RuntimeError, ValueError):
            return {}


def _distribution(study: Study, path: str) -> optuna.distributions.BaseDistribution:
    """As numbers on the scale that was searched, or as choices."""
    distribution = study.search.space[path]
    if distribution.choices is not None:
        return CategoricalDistribution([str(choice) for choice in distribution.choices])
    assert distribution.low is not None and distribution.high is not None
    return optuna.distributions.FloatDistribution(
        distribution.low, distribution.high, log=bool(distribution.log)
    )


def _value(study: Study, record: TrialRecord, path: str) -> Any:
    value = record.values[path]
    return str(value) if study.search.space[path].choices is not None else float(value)
