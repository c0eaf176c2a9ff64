"""What to try next: Optuna's TPE behind ask, report and tell.

Optuna's own study lives in the study's folder. A trial that is pruned is told as PRUNED with its
last value, a failed one as FAIL, and none is left RUNNING when the study is over.
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
)
from optuna.trial import TrialState

from tune_diffreg.seeds import derive
from tune_diffreg.study import Distribution, Study, TrialConfig
from tune_diffreg.study.space import takes_float, value_at

_STATES = {
    "complete": TrialState.COMPLETE,
    "pruned": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}
_BASELINE = "baseline"


@dataclass(frozen=True)
class Proposal:
    """A configuration to try, as dotted path -> value, and its number in Optuna's study."""

    number: int
    values: dict[str, Any]


class Proposals:
    """Proposals for one study, kept in an SQLite file.

    Args:
        claimed: numbers of the proposals that trials were started with. One that was asked for
            and never started (the process died in between) is handed out again first.
    """

    def __init__(self, study: Study, path: Path, claimed: set[int]) -> None:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = study
        self._order = tuple(study.search_order())
        self._distributions = {p: to_optuna(p, d) for p, d in study.search.space.items()}
        self._optuna = optuna.create_study(
            storage=f"sqlite:///{path.resolve()}", study_name=study.name, load_if_exists=True
        )
        waiting = self._optuna.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._unclaimed = [t for t in waiting if t.number not in claimed]

    def ask(self) -> Proposal:
        """The next proposal; equal history and seed, equal proposal."""
        if self._unclaimed:
            number = self._unclaimed.pop(0).number
            self._seed(number)
            trial = self._trial(number)
        else:
            self._seed(len(self._optuna.get_trials(deepcopy=False)))
            trial = self._optuna.ask()
        values: dict[str, Any] = {}
        for path in self._order:
            if self._study.search.space[path].applies(values):
                values[path] = trial._suggest(path, self._distributions[path])
        return Proposal(trial.number, values)

    def report(self, number: int, images: int, value: float) -> None:
        """Notes a value at a rung, once."""
        trial = self._trial(number)
        if images not in self._frozen(number).intermediate_values:
            trial.report(value, images)

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
        if self._frozen(number).state.is_finished():
            return
        trial = self._trial(number)
        known = self._frozen(number).constraints
        for name, violation in (violations or {}).items():
            if name not in known:
                trial.set_constraint(name, violation)
        self._optuna.tell(trial, value if state == "complete" else None, state=_STATES[state])

    def add_baseline(
        self, name: str, config: TrialConfig, value: float, violations: Mapping[str, float]
    ) -> None:
        """Lets a finished baseline inform the proposals, where it lies inside the space.

        One that lies outside (no weight decay in a space that is logarithmic in it) cannot be told
        to Optuna truthfully, and is not.
        """
        values = {path: value_at(config, path) for path in self._order}
        active = {p: v for p, v in values.items() if self._study.search.space[p].applies(values)}
        overrides = self._study.search.baselines[name]
        inside = set(overrides) <= set(active) and all(
            self._study.search.space[p].contains(v) for p, v in active.items()
        )
        told = {t.user_attrs.get(_BASELINE) for t in self._optuna.get_trials(deepcopy=False)}
        if not inside or name in told:
            return
        trial = optuna.trial.create_trial(
            params=active,
            distributions={path: self._distributions[path] for path in active},
            value=value,
            user_attrs={_BASELINE: name},
        )
        for constraint, violation in violations.items():
            trial.set_constraint(constraint, violation)
        self._optuna.add_trial(trial)

    def _seed(self, number: int) -> None:
        """A sampler of its own for every proposal, so that a resumed search proposes the same."""
        seed = derive(self._study.search.seed, "proposal", number) % 2**32
        self._optuna.sampler = optuna.samplers.TPESampler(seed=seed)

    def _frozen(self, number: int) -> optuna.trial.FrozenTrial:
        return self._optuna.get_trials(deepcopy=False)[number]

    def _trial(self, number: int) -> optuna.trial.Trial:
        return optuna.trial.Trial(self._optuna, self._frozen(number)._trial_id)


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
