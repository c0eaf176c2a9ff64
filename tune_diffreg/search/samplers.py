"""The samplers that a study file can name. Each proposal has one of its own, seeded by its number,
so that a search that was interrupted proposes what one that was not would have proposed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from tune_diffreg.seeds import derive
from tune_diffreg.study import Search


class SobolSampler(BaseSampler):
    """Proposal i is point i of one scrambled Sobol sequence; a condition only masks a coordinate.

    Optuna's own QMCSampler counts its points in the storage, so a proposal that was cut short moves
    all later ones, and it draws conditional settings at random.
    """

    def __init__(self, search: Search, seed: int) -> None:
        self._search = search
        self._dimensions = {path: index for index, path in enumerate(search.space)}
        self._seed = seed

    def infer_relative_search_space(self, *_: Any) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(self, *_: Any) -> dict[str, Any]:
        return {}

    def sample_independent(
        self,
        study: optuna.Study,  # noqa: ARG002
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        sequence = qmc.Sobol(len(self._dimensions), rng=self._seed)
        if trial.number:  # SciPy cannot go forward by none
            sequence.fast_forward(trial.number)
        point = sequence.random()[0]
        quantile = float(point[self._dimensions[param_name]])
        value = self._search.space[param_name].at_quantile(quantile)
        return round(value) if isinstance(param_distribution, IntDistribution) else value


class BoundedTPESampler(TPESampler):
    """Optuna's univariate TPE, whose cost a proposal stops growing after a thousand trials.

    It reads the trials once a proposal and not once a setting, and learns from the latest
    `LATEST` that have ended and the best `BEST` before them. With fewer it proposes what Optuna's
    own proposes; with more, its good trials are still the best of all, since TPE calls at most 25
    good.
    """

    LATEST, BEST = 1000, 25

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed, multivariate=False)
        self._view: Any = None

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        if self._view is None:
            self._view = _View(study, self._worth_learning(study.get_trials(deepcopy=False)))
        return super().sample_independent(self._view, trial, param_name, param_distribution)

    def _worth_learning(self, trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
        ended = [t for t in trials if t.state in (TrialState.COMPLETE, TrialState.PRUNED)]
        older = ended[: -self.LATEST]
        forgotten = {t.number for t in sorted(older, key=_goodness)[self.BEST :]}
        return [t for t in trials if t.number not in forgotten]


class _View:
    """A study whose trials are those given, as they were when the view was made."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        self._study = study
        self._trials = trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(self, *_: Any, states: Container[TrialState], **__: Any) -> list[FrozenTrial]:
        return [trial for trial in self._trials if trial.state in states]


def _goodness(trial: FrozenTrial) -> tuple[float, bool, float, float]:
    """Sorts as TPE does: feasible, complete before pruned, pruned late before early, by value."""
    violation = sum(max(0.0, excess) for excess in trial.constraints.values())
    if trial.state is TrialState.COMPLETE:
        return violation, False, 0, trial.value or 0.0
    step, value = max(trial.intermediate_values.items(), default=(0, math.inf))
    return violation, True, -step, value


def proposal_seed(search: Search, number: int) -> int:
    """The seed of proposal `number`, in the 32 bits that Optuna's samplers take."""
    return derive(search.seed, "proposal", number) % 2**32


def build_sampler(search: Search, number: int) -> BaseSampler:
    """The sampler of proposal `number`."""
    seed = proposal_seed(search, number)
    if search.sampler == "random":
        return RandomSampler(seed=seed)
    if search.sampler == "gp":
        return GPSampler(seed=seed, warn_independent_sampling=False)
    if search.sampler == "cmaes":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return CmaEsSampler(
                seed=seed, consider_pruned_trials=True, warn_independent_sampling=False
            )
    if search.sampler == "qmc":
        return SobolSampler(search, derive(search.seed, "sobol") % 2**32)
    return BoundedTPESampler(seed)
