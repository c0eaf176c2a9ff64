"""What to try next: an Optuna study behind ask, report and tell.

It lives in the study's folder, where optuna-dashboard can open it at any time. A trial that is
pruned is told as PRUNED with its last value, a failed one as FAIL, and none is left RUNNING when
the study is over.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    check_distribution_compatibility,
)
from optuna.trial import TrialState

from tune_diffreg.patience import Patiently, at_once
from tune_diffreg.search.samplers import build_sampler
from tune_diffreg.search.storage import damage_told, open_storage
from tune_diffreg.search.tpe import Past
from tune_diffreg.study import Distribution, Study, TrialConfig
from tune_diffreg.study.space import outside, takes_float

_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_SOURCE = "source"
"""User attribute of a trial that was not asked for: the baseline or the earlier study's trial."""


@dataclass(frozen=True)
class Proposal:
    """A configuration to try, as dotted path -> value, and its number in Optuna's study."""

    number: int
    values: dict[str, Any]


class Proposals:
    """Proposals for one study.

    Args:
        path: file of Optuna's study; None keeps it in memory alone.
        claimed: numbers of the proposals that trials were started with. One that was asked for
            and never started (the process died in between) is handed out again first.
        patiently: writes again while the storage cannot be written.
    """

    def __init__(
        self,
        study: Study,
        path: Path | None,
        claimed: set[int],
        patiently: Patiently = at_once,
    ) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = study
        self._order = tuple(study.search_order())
        self._distributions = {p: to_optuna(p, d) for p, d in study.search.space.items()}
        self._storage = None if path is None else open_storage(path, patiently)
        with damage_told(path):
            self._optuna = optuna.create_study(
                storage=self._storage, study_name=study.name, load_if_exists=True
            )
            known = self._optuna.get_trials(deepcopy=False)
            for trial in known:
                for setting, distribution in trial.distributions.items():
                    check_distribution_compatibility(self._distributions[setting], distribution)
        self._unsaved = True
        self._count = len(known)
        self._sources = {t.user_attrs[_SOURCE] for t in known if _SOURCE in t.user_attrs}
        self._open: dict[int, optuna.trial.Trial] = {}
        self._past = Past()
        self._unclaimed: list[int] = []
        self._waiting = [t.number for t in known if t.state is TrialState.WAITING]
        for trial in known:
            if trial.state is TrialState.RUNNING:
                self._sample_as(trial.number)
                self._open[trial.number] = optuna.trial.Trial(self._optuna, trial._trial_id)
                if trial.number not in claimed:
                    self._unclaimed.append(trial.number)

    def ask(self) -> Proposal:
        """The next proposal; equal history and seed, equal proposal."""
        if self._unclaimed:
            number = self._unclaimed.pop(0)
            self._sample_as(number)
        else:
            number = self._waiting.pop(0) if self._waiting else self._count
            self._sample_as(number)
            self._open[number] = self._optuna.ask()
            self._count = max(self._count, number + 1)
        values: dict[str, Any] = {}
        for path in self._order:
            if self._study.search.space[path].applies(values):
                values[path] = self._suggest(self._open[number], path)
        self._unsaved = True
        return Proposal(number, values)

    def save(self) -> None:
        """Returns once all proposals, and what they were made from, are on the disk.

        What was reported and told since is not waited for: the study's journal has it.
        """
        if self._unsaved and self._storage is not None:
            self._storage.sync()
        self._unsaved = False

    def report(self, number: int, images: int, value: float) -> None:
        """Notes a value at a rung, once; one of a proposal that has ended is not needed."""
        if number in self._open:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Optuna keeps the first of two, and says so
                self._open[number].report(value, images)

    def tell(
        self,
        number: int,
        state: str,
        value: float | None = None,
        violations: Mapping[str, float] | None = None,
    ) -> None:
        """Ends a proposal as 'complete', 'pruned' or 'failed'; a second time changes nothing.

        Args:
            value: the objective; for a pruned trial at the last rung that it reached.
            violations: constraint -> excess over its bound; 0 or less is feasible.
        """
        trial = self._open.pop(number, None)
        if trial is None:
            return
        known = self._optuna._storage.get_trial(trial._trial_id).constraints
        for name, violation in (violations or {}).items():
            if name not in known:
                trial.set_constraint(name, violation)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # CMA-ES says that it does not heed constraints
            self._optuna.tell(trial, value if state == "complete" else None, state=_STATES[state])

    def add_finished(
        self,
        source: str,
        config: TrialConfig,
        values: Mapping[int, float],
        complete: bool,
        violations: Mapping[str, float],
    ) -> bool:
        """Lets a trial that was not proposed here inform the proposals; once for each `source`.

        A configuration that lies outside the space (no weight decay in a space that is logarithmic
        in it), or that differs in a setting that is not searched, cannot be told to Optuna
        truthfully, and is not.

        Args:
            values: images seen -> objective, at the rungs that it reached.

        Returns:
            Whether it lies inside.
        """
        active = self._study.searched(config)
        if outside(self._study.search.space, active) or self._study.trial_config(active) != config:
            return False
        if source in self._sources:
            return True
        trial = optuna.trial.create_trial(
            state=TrialState.COMPLETE if complete else TrialState.PRUNED,
            params=active,
            distributions={path: self._distributions[path] for path in active},
            value=values[max(values)],
            intermediate_values=dict(values),
            user_attrs={_SOURCE: source},
        )
        for name, violation in violations.items():
            trial.set_constraint(name, violation)
        self._optuna.add_trial(trial)
        self._sources.add(source)
        self._count += 1
        self._unsaved = True
        return True

    def try_first(self, config: TrialConfig) -> None:
        """Makes the searched settings of `config`, which lie in the space, the next proposal."""
        self._optuna.enqueue_trial(self._study.searched(config), skip_if_exists=True)
        self._waiting = [t.number for t in self._optuna.get_trials(states=(TrialState.WAITING,))]
        self._count = len(self._optuna.get_trials(deepcopy=False))
        self._unsaved = True

    def _suggest(self, trial: optuna.trial.Trial, path: str) -> Any:
        """A setting's value. One that was drawn before the process died is drawn once more, so that
        the sampler's random numbers go on where they would have."""
        distribution = self._distributions[path]
        drawn = not (
            distribution.single()
            or trial._is_fixed_param(path, distribution)
            or trial._is_relative_param(path, distribution)
        )
        if drawn and path in trial.params:
            now = trial._get_latest_trial()
            self._optuna.sampler.sample_independent(self._optuna, now, path, distribution)
        return trial._suggest(path, distribution)

    def _sample_as(self, number: int) -> None:
        self._optuna.sampler = build_sampler(self._study.search, number, self._past)


def to_optuna(path: str, distribution: Distribution) -> BaseDistribution:
    """The distribution in Optuna's classes; whole numbers where the setting takes those alone."""
    if distribution.choices is not None:
        return CategoricalDistribution(tuple(distribution.choices))
    low, high, step = distribution.low, distribution.high, distribution.step
    assert low is not None and high is not None  # validated with the study file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna lowers `high` to a multiple of the step
        if takes_float(TrialConfig, path):
            return FloatDistribution(float(low), float(high), log=distribution.log, step=step)
        return IntDistribution(int(low), int(high), log=distribution.log, step=int(step or 1))
