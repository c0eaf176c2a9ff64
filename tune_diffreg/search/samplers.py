"""The samplers that a study file can name. Each proposal has one of its own, seeded by its number,
so that a search that was interrupted proposes what one that was not would have proposed.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Container
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


class _AsSeen(optuna.Study):
    """A study in which a trial that has reached a rung counts as pruned there, until it ends.

    To Optuna a paused trial runs, and what runs is unknown, or taken for bad so that it is not
    proposed again. Most trials of a search with promotion are paused, and their scores are known.
    """

    def __init__(self, study: optuna.Study) -> None:
        self.__dict__.update(study.__dict__)
        self._seen = [_as_pruned(trial) for trial in study._get_trials(deepcopy=False)]

    def _get_trials(
        self,
        deepcopy: bool = True,  # noqa: ARG002
        states: Container[TrialState] | None = None,
        use_cache: bool = False,  # noqa: ARG002
    ) -> list[FrozenTrial]:
        return [trial for trial in self._seen if states is None or trial.state in states]


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    if trial.state is not TrialState.RUNNING or not trial.intermediate_values:
        return trial
    pruned = copy.copy(trial)
    pruned.state = TrialState.PRUNED
    pruned.value = trial.intermediate_values[max(trial.intermediate_values)]
    return pruned


class Informed(BaseSampler):
    """Another sampler that sees what paused and running trials have reported."""

    def __init__(self, sampler: BaseSampler) -> None:
        self._sampler = sampler
        self._view: _AsSeen | None = None

    def _seen(self, study: optuna.Study) -> _AsSeen:
        self._view = self._view or _AsSeen(study)
        return self._view

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._sampler.infer_relative_search_space(self._seen(study), trial)

    def sample_relative(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        search_space: dict[str, BaseDistribution],
    ) -> dict[str, Any]:
        return self._sampler.sample_relative(self._seen(study), trial, search_space)

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self._sampler.sample_independent(
            self._seen(study), trial, param_name, param_distribution
        )


def build_sampler(search: Search, number: int) -> BaseSampler:
    """The sampler of proposal `number`."""
    seed = derive(search.seed, "proposal", number) % 2**32
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
    return Informed(TPESampler(seed=seed, multivariate=False))
