"""The samplers that a study file can name. Each proposal has one of its own, seeded by its number,
so that a search that was interrupted proposes what one that was not would have proposed.
"""

from __future__ import annotations

import warnings
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler
from optuna.trial import FrozenTrial
from scipy.stats import qmc

from tune_diffreg.search.tpe import BoundedTPESampler, Past
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


def proposal_seed(search: Search, number: int) -> int:
    """The seed of proposal `number`, in the 32 bits that Optuna's samplers take."""
    return derive(search.seed, "proposal", number) % 2**32


def build_sampler(search: Search, number: int, past: Past) -> BaseSampler:
    """The sampler of proposal `number` of the study whose past trials are `past`."""
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
    return BoundedTPESampler(seed, past)
