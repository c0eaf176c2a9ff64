"""Optuna's univariate TPE at a bounded cost a proposal.

Optuna reads all trials, parts them into good and bad and reads their settings anew for every
setting that it proposes. That is the same each time within a proposal, and nearly so from one
proposal to the next: here a trial is read once, and trials are parted once a proposal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nsmallest
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.samplers._tpe.sampler import default_gamma
from optuna.trial import FrozenTrial, TrialState

Goodness = tuple[float, bool, float, float]


@dataclass(frozen=True)
class Parts:
    """The trials that a proposal learns from, by number, rising."""

    good: list[int]
    bad: list[int]
    """Those that still run are among them, so that proposals keep away from each other."""
    ended: int


class Past:
    """What is known of a study's trials, kept from one proposal to the next.

    A trial that has ended does not change any more, and one that runs keeps its settings.
    """

    LATEST, BEST = 1000, 25
    """How many trials are learned from: the latest that have ended and, since TPE calls at most 25
    good, the best before them; and the latest that run."""

    def __init__(self) -> None:
        self._goodness: dict[int, Goodness] = {}
        self._settings: dict[str, dict[int, float]] = defaultdict(dict)
        self._read: dict[int, int] = {}  # trial -> how many settings it had

    def parted(self, trials: Iterable[FrozenTrial], asked: int) -> Parts:
        """Parts all trials but the one that is being asked for, as Optuna's TPE does."""
        ended, running = [], []
        for trial in trials:
            if trial.number in self._goodness:
                ended.append(trial.number)
            elif trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
                self._read_settings(trial)
                self._goodness[trial.number] = _goodness(trial)
                ended.append(trial.number)
            elif trial.state is TrialState.RUNNING and trial.number != asked:
                self._read_settings(trial)
                running.append(trial.number)
        learned = self._worth_learning(ended)
        best_first = sorted(learned, key=self._goodness.__getitem__)
        most_good = default_gamma(len(learned))
        bad = best_first[most_good:] + running[-self.LATEST :]
        return Parts(sorted(best_first[:most_good]), sorted(bad), len(learned))

    def settings(self, path: str, trials: Iterable[int]) -> np.ndarray:
        """One setting of those trials that have it, as Optuna's densities take it."""
        known = self._settings[path]
        return np.asarray([known[number] for number in trials if number in known])

    def _worth_learning(self, ended: list[int]) -> list[int]:
        older = ended[: -self.LATEST]
        best = nsmallest(self.BEST, older, key=self._goodness.__getitem__)
        return sorted(best) + ended[-self.LATEST :]

    def _read_settings(self, trial: FrozenTrial) -> None:
        if self._read.get(trial.number) != len(trial.params):
            self._read[trial.number] = len(trial.params)
            for path, value in trial.params.items():
                distribution = trial.distributions[path]
                self._settings[path][trial.number] = distribution.to_internal_repr(value)


class BoundedTPESampler(TPESampler):
    """With up to a thousand trials it proposes what Optuna's own proposes, from then on by `Past`.

    Args:
        past: shared by the samplers of one study's proposals.
    """

    def __init__(self, seed: int, past: Past) -> None:
        super().__init__(seed=seed, multivariate=False)
        self._past = past
        self._parts: Parts | None = None

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        if self._parts is None:
            self._parts = self._past.parted(study.get_trials(deepcopy=False), trial.number)
        if self._parts.ended < self._n_startup_trials:
            return self._random_sampler.sample_independent(
                study, trial, param_name, param_distribution
            )
        return self._propose(self._parts, param_name, param_distribution)

    def _propose(self, parts: Parts, name: str, distribution: BaseDistribution) -> Any:
        """What `TPESampler._sample` does once trials are parted."""
        space = {name: distribution}
        good, bad = (
            self._parzen_estimator_cls(
                {name: self._past.settings(name, numbers)}, space, self._parzen_estimator_parameters
            )
            for numbers in (parts.good, parts.bad)
        )
        candidates = good.sample(self._rng.rng, self._n_ei_candidates)
        gain = self._compute_acquisition_func(candidates, good, bad)
        return distribution.to_external_repr(self._compare(candidates, gain)[name])


def _goodness(trial: FrozenTrial) -> Goodness:
    """Sorts as TPE does: feasible, complete before pruned, pruned late before early, by value."""
    violation = sum(excess for excess in trial.constraints.values() if excess > 0)
    if violation > 0:
        return violation, False, 0, 0
    if trial.state is TrialState.COMPLETE:
        return 0, False, 0, trial.value or 0.0
    step, value = max(trial.intermediate_values.items(), default=(-1, 0.0))
    return 0, True, -step, value
