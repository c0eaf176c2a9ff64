"""How much of what is good each searched setting decides, by PED-ANOVA (Watanabe et al. 2023)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.study import Study

_MOST_DRAWS, _LEAST_DRAWS = 50, 10
_TRIALS = 4000
"""In all draws together: Optuna takes about a millisecond to be told of one."""
_ENDS = (0.025, 0.975)


@dataclass(frozen=True)
class Share:
    """Of all importance, with the 95 % interval over resampled trials."""

    value: float
    low: float
    high: float


def shares(
    study: Study, trials: Sequence[TrialRecord], scores: Sequence[float]
) -> dict[str, Share]:
    """Of the settings that every trial has; empty where it cannot be told."""
    paths = [path for path in study.search.space if all(path in r.values for r in trials)]
    known = {path: _distribution(study, path) for path in paths}
    with _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = _of(study, known, trials, scores)
        draw = np.random.default_rng(0)
        drawn = []
        draws = max(_LEAST_DRAWS, min(_MOST_DRAWS, _TRIALS // len(trials)))
        for _ in range(draws if whole else 0):
            chosen = draw.integers(0, len(trials), len(trials))
            drawn.append(
                _of(study, known, [trials[i] for i in chosen], [scores[i] for i in chosen])
            )
    found = {}
    for path, value in whole.items():
        low, high = np.quantile([d[path] for d in drawn if path in d] or [value], _ENDS)
        found[path] = Share(value, min(value, float(low)), max(value, float(high)))
    return found


def _of(
    study: Study,
    known: Mapping[str, BaseDistribution],
    trials: Sequence[TrialRecord],
    scores: Sequence[float],
) -> dict[str, float]:
    told = optuna.create_study()
    for record, score in zip(trials, scores, strict=True):
        params = {path: _value(study, record, path) for path in known}
        told.add_trial(
            optuna.trial.create_trial(params=params, distributions=dict(known), value=score)
        )
    try:
        return get_param_importances(told, evaluator=PedAnovaImportanceEvaluator())
    except (RuntimeError, ValueError):
        return {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Optuna tells of every study that it makes, which here are none of the user's."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _distribution(study: Study, path: str) -> BaseDistribution:
    """As numbers on the scale that was searched, or as choices."""
    distribution = study.search.space[path]
    if distribution.choices is not None:
        return CategoricalDistribution([str(choice) for choice in distribution.choices])
    assert distribution.low is not None and distribution.high is not None
    return FloatDistribution(distribution.low, distribution.high, log=bool(distribution.log))


def _value(study: Study, record: TrialRecord, path: str) -> str | float:
    value = record.values[path]
    return str(value) if study.search.space[path].choices is not None else float(value)
