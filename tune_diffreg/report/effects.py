"""What each searched setting did to the objective, with how sure that is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from scipy import stats

from tune_diffreg.report.importance import Share, shares
from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.study import Study
from tune_diffreg.study.space import value_at
from tune_diffreg.words import knob, setting

LEAST = 8
"""Trials from which an effect is told."""
_DRAWS = 2000
_DRAWS_OF_CHOICES = 200
_SURE = 0.95


@dataclass(frozen=True)
class Effect:
    """Of one setting on the objective.

    Attributes:
        importance: PED-ANOVA's share, None where it cannot be told.
        correlation: Spearman's, of numbers; below 0: larger values score better.
        low, high: its 95 % interval, by bootstrap.
        best: of choices, the one whose trials score best in the middle.
        held: in which part of the resampled sets of trials it does.
        p_value: of the hypothesis that the setting changes nothing; among all settings, Holm's.
    """

    name: str
    importance: Share | None = None
    correlation: float | None = None
    low: float | None = None
    high: float | None = None
    best: str | None = None
    held: float | None = None
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


@dataclass(frozen=True)
class Effects:
    """Of every searched setting, most important first, at the highest rung that tells of them.

    Attributes:
        images: that rung; None where too few trials reached even the first.
        trials: how many proposed trials reached it.
    """

    of: list[Effect]
    images: int | None
    trials: int


def effects(study: Study, records: Iterable[TrialRecord]) -> Effects:
    """Over the proposed trials that reached the highest rung which enough of them reached.

    Where the search found what is good it looked more often, so that these are associations among
    what was tried, and no experiment.
    """
    trials, scores, images = _told(study, [r for r in records if r.baseline is None])
    importances = shares(study, trials, scores) if images is not None else {}
    configs = [study.trial_config(record.values) for record in trials]
    found = []
    for path, distribution in study.search.space.items():
        used = [
            (value_at(config, path), score)
            for config, record, score in zip(configs, trials, scores, strict=True)
            if distribution.applies(record.values)
        ]
        values, of_used = [value for value, _ in used], [score for _, score in used]
        effect = Effect(knob(path, study.search.space))
        if len(used) >= LEAST and len(set(map(str, values))) > 1:
            tell = _of_numbers if distribution.choices is None else _of_choices
            effect = tell(effect.name, values, of_used)
        found.append(replace(effect, importance=importances.get(path)))
    found = holm(found)
    found.sort(key=lambda effect: -(effect.importance.value if effect.importance else 0.0))
    return Effects(found, images, len(trials))


def holm(found: Sequence[Effect]) -> list[Effect]:
    """With p-values under which any false effect among all is as rare as among one.

    Holm, A simple sequentially rejective multiple test procedure (Scand. J. Statistics 1979).
    """
    order = sorted((e for e in found if e.p_value is not None), key=lambda e: e.p_value or 0.0)
    adjusted: dict[str, float] = {}
    least = 0.0
    for rank, effect in enumerate(order):
        assert effect.p_value is not None
        least = max(least, min(1.0, (len(order) - rank) * effect.p_value))
        adjusted[effect.name] = least
    return [replace(effect, p_value=adjusted.get(effect.name)) for effect in found]


def _told(
    study: Study, trials: Sequence[TrialRecord]
) -> tuple[list[TrialRecord], list[float], int | None]:
    """The trials at the highest rung that enough reached, their scores there, and the rung."""
    for rung in reversed(study.rungs()):
        there = [
            (record, report.scores[study.objective.metric])
            for record in trials
            for report in record.reports
            if report.images == rung
        ]
        if len(there) >= LEAST:
            return [record for record, _ in there], [score for _, score in there], rung
    return [], [], None


def _of_numbers(name: str, values: Sequence[Any], scores: Sequence[float]) -> Effect:
    x, y = np.asarray(values, dtype=float), np.asarray(scores)
    if len(set(scores)) < 2:
        return Effect(name)
    whole = stats.spearmanr(x, y)
    chosen = np.random.default_rng(0).integers(0, len(x), (_DRAWS, len(x)))
    drawn = _correlations(x[chosen], y[chosen])
    low, high = np.nanquantile(drawn, [(1 - _SURE) / 2, (1 + _SURE) / 2])
    correlation, p = float(whole.statistic), float(whole.pvalue)
    return Effect(name, None, correlation, float(low), float(high), p_value=p)


def _correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's, of each row of `x` and `y` `(draws, trials)`; NaN where one holds one value."""
    ranks = [stats.rankdata(values, axis=1) for values in (x, y)]
    a, b = (rank - rank.mean(axis=1, keepdims=True) for rank in ranks)
    with np.errstate(invalid="ignore"):
        found: np.ndarray = (a * b).sum(axis=1) / np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return found


def _of_choices(name: str, values: Sequence[Any], scores: Sequence[float]) -> Effect:
    names, y = [setting(value) for value in values], np.asarray(scores)
    groups = [[y[i] for i, own in enumerate(names) if own == name] for name in dict.fromkeys(names)]
    p = float(stats.kruskal(*groups).pvalue) if len(set(scores)) > 1 else 1.0
    best = _best_choice(names, y)
    draw = np.random.default_rng(0)
    again = []
    for _ in range(_DRAWS_OF_CHOICES):
        chosen = draw.integers(0, len(y), len(y))
        again.append(_best_choice([names[i] for i in chosen], y[chosen]))
    return Effect(name, best=best, held=again.count(best) / _DRAWS_OF_CHOICES, p_value=p)


def _best_choice(names: Sequence[str], scores: np.ndarray) -> str:
    """The choice whose trials score best in the middle."""
    groups: dict[str, list[float]] = {}
    for name, score in zip(names, scores, strict=True):
        groups.setdefault(name, []).append(float(score))
    return min(groups, key=lambda name: median(groups[name]))
