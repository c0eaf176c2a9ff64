"""The searches that are compared: ours as it ships, and what Ray ships, by its own classes."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler
from ray.tune.search.optuna import OptunaSearch

from benchmarks.simulation import Work
from benchmarks.surrogate import COPIES, OBJECTIVE
from tune_diffreg.results import StudyFolder, leading_trial
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.proposals import Proposals, to_optuna
from tune_diffreg.search.samplers import proposal_seed
from tune_diffreg.study import Distribution, Study

# What a tenth of a point too many copies costs is more than what it can gain.
PENALTY = 5000.0


class Multivariate(Proposals):
    """Optuna's own default: one density over all settings together."""

    def _sample_as(self, number: int) -> None:
        seed = proposal_seed(self._study.search, number)
        self._optuna.sampler = optuna.samplers.TPESampler(seed=seed)


class Ours:
    """The coordinator of a real study, its journal in a folder that is thrown away."""

    def __init__(self, study: Study, proposals: type[Proposals] = Proposals) -> None:
        self.rungs = study.rungs()
        self._scratch = tempfile.TemporaryDirectory()
        folder = StudyFolder(Path(self._scratch.name), study.name)
        folder.create(study)
        folder.journal.touch()
        self._now = 0.0
        self._coordinator = Coordinator(
            study, folder, lambda _: None, lambda: self._now,
            # Optuna's study is not kept: a simulation is never gone on with.
            lambda study, _, claimed: proposals(study, None, claimed),
        )  # fmt: skip
        self._study = study
        self._named: str | None = None

    def next(self) -> Work | None:
        assignment = self._coordinator.next_trial()
        if assignment is None:
            return None
        values = self._coordinator.records[assignment.trial_id].values
        return Work(assignment.trial_id, values, max(assignment.reported, default=0))

    def report(self, trial: str, images: int, scores: Mapping[str, float], time: float) -> bool:
        self._now = time
        goes_on = self._coordinator.report(trial, images, 0.0, scores).goes_on
        leader = leading_trial(self._study, self._coordinator.records.values())
        self._named = leader.id if leader else None
        return goes_on

    def selected(self) -> str | None:
        return self._named


class Rays:
    """A searcher and a scheduler of Ray Tune, told what Ray's controller would tell them.

    A report that ends a trial goes to `on_trial_complete`, any other to `on_trial_result`; the
    answer is what `ResultGrid.get_best_result` gives: the best last report of all trials.
    """

    def __init__(
        self, study: Study, sampler: optuna.samplers.BaseSampler, scheduler: TrialScheduler
    ) -> None:
        self.rungs = study.rungs()
        bound = study.objective.constraints.get(COPIES)
        self._bound = None if bound is None else bound.max
        self._scheduler = scheduler
        self._searcher = OptunaSearch(space_of(study), metric="loss", mode="min", sampler=sampler)
        self._trials: dict[str, Any] = {}
        self._last: dict[str, float] = {}

    def next(self) -> Work | None:
        name = f"t{len(self._trials):04d}"
        values = self._searcher.suggest(name)
        self._trials[name] = SimpleNamespace(trial_id=name, config=values)
        self._scheduler.on_trial_add(None, self._trials[name])
        return Work(name, values)

    def report(self, trial: str, images: int, scores: Mapping[str, float], time: float) -> bool:
        loss = scores[OBJECTIVE]
        if self._bound is not None:
            loss += PENALTY * max(0.0, scores[COPIES] - self._bound)
        result = {"loss": loss, "images": images, "training_iteration": images, "time": time}
        decision = self._scheduler.on_trial_result(None, self._trials[trial], result)
        self._last[trial] = loss
        if decision == TrialScheduler.STOP or images == self.rungs[-1]:
            self._searcher.on_trial_complete(trial, result)
            return False
        self._searcher.on_trial_result(trial, result)
        return True

    def selected(self) -> str | None:
        return min(self._last, key=self._last.__getitem__, default=None)


def asha(study: Study, **settings: Any) -> TrialScheduler:
    """Ray's ASHA with our clock and first rung; all else as it comes unless said otherwise."""
    rungs = study.rungs()
    return ASHAScheduler(
        time_attr="images", metric="loss", mode="min", max_t=rungs[-1], grace_period=rungs[0],
        **settings,
    )  # fmt: skip


def run_to_the_end() -> TrialScheduler:
    """No pruning."""
    return FIFOScheduler()


def space_of(study: Study) -> Any:
    """The search space as a function in Optuna's style, which Ray pickles with the searcher."""
    return partial(_suggest, study.search.space, tuple(study.search_order()))


def _suggest(space: Mapping[str, Distribution], order: Sequence[str], trial: optuna.Trial) -> None:
    values: dict[str, Any] = {}
    for path in order:
        if not space[path].applies(values):
            continue
        distribution = to_optuna(path, space[path])
        if isinstance(distribution, CategoricalDistribution):
            values[path] = trial.suggest_categorical(path, distribution.choices)
        elif isinstance(distribution, FloatDistribution):
            values[path] = trial.suggest_float(
                path, distribution.low, distribution.high, log=distribution.log
            )
