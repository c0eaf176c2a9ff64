"""TPE that reads a trial once proposes what Optuna's own proposes, which reads all each time."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from tune_diffreg.search.tpe import BoundedTPESampler, Past

SPACE: dict[str, BaseDistribution] = {
    "dropout": FloatDistribution(0, 0.5),
    "decay": FloatDistribution(1e-4, 1, log=True),
    "jitter": FloatDistribution(0, 0.5, step=0.1),
    "warmup": IntDistribution(0, 7),
    "width": IntDistribution(1, 64, log=True),
    "clip": CategoricalDistribution((None, 0.3, 1.0)),
    "only one": FloatDistribution(1, 1),
}
CONDITIONAL = {"blend": FloatDistribution(0, 1)}
"""Of those trials whose dropout is below a half of the most."""


def suggested(trial: optuna.Trial) -> dict[str, Any]:
    """All settings of a trial, the last one by condition."""
    values = {name: trial._suggest(name, SPACE[name]) for name in SPACE}
    if values["dropout"] < 0.25:
        values |= {name: trial._suggest(name, CONDITIONAL[name]) for name in CONDITIONAL}
    return values


Told = tuple[TrialState | None, float, int, float]
"""How a trial ends (None: it goes on running), its value, its rung, its excess over the bound."""

TOLD = st.tuples(
    st.sampled_from([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL, None]),
    st.integers(0, 4).map(float),  # few, so that many are equal
    st.sampled_from([320, 1280]),
    st.sampled_from([-0.1, -0.1, 0.0, 0.1, 0.2]),
)


def search(sampler: Any, told: list[Told]) -> list[dict[str, Any]]:
    """Proposals of a search whose trials end as told, two of them always under way.

    Args:
        sampler: number of a proposal -> its sampler.
    """
    study = optuna.create_study()
    asked: list[optuna.Trial] = []
    proposals = []
    for number in range(len(told) + 2):
        study.sampler = sampler(number)
        asked.append(study.ask())
        proposals.append(suggested(asked[-1]))
        if number >= 2:
            end(study, asked[number - 2], told[number - 2])
    return proposals


def end(study: optuna.Study, trial: optuna.Trial, told: Told) -> None:
    state, value, rung, excess = told
    if state in (TrialState.COMPLETE, TrialState.PRUNED):
        if value or state is TrialState.COMPLETE:  # else it is pruned before it said anything
            trial.report(value, rung)
        trial.set_constraint("memorized_fraction", excess)
    if state is not None:
        study.tell(trial, value if state is TrialState.COMPLETE else None, state=state)


@settings(max_examples=12, deadline=None)
@given(st.lists(TOLD, min_size=15, max_size=60))
def test_it_proposes_what_optunas_own_proposes(told: list[Told]) -> None:
    past = Past()
    ours = search(lambda number: BoundedTPESampler(number, past), told)
    assert ours == search(lambda number: TPESampler(seed=number, multivariate=False), told)


def told_trials(count: int) -> list[FrozenTrial]:
    """A third complete, the others pruned at one rung; a third is infeasible; one in four runs."""
    study = optuna.create_study()
    for number in range(count):
        ended = TrialState.PRUNED if number % 3 else TrialState.COMPLETE
        state = ended if number % 4 else TrialState.RUNNING
        value = (number * 0.618) % 1
        trial = create_trial(
            state=state,
            params={"dropout": value / 2},
            distributions={"dropout": SPACE["dropout"]},
            value=value if state.is_finished() else None,
            intermediate_values={320 if number % 3 else 1280: value},
        )
        if state.is_finished():
            trial.set_constraint("memorized_fraction", (number * 0.414) % 1 - 0.67)
        study.add_trial(trial)
    return study.get_trials()


def test_a_long_search_learns_from_the_latest_and_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Past, "LATEST", 20)
    monkeypatch.setattr(Past, "BEST", 5)
    trials = told_trials(120)
    ended = [t for t in trials if t.state.is_finished()]
    older = [t for t in ended[:-20] if t.constraints["memorized_fraction"] <= 0]
    complete = [t for t in older if t.state is TrialState.COMPLETE]
    best = sorted(complete, key=lambda t: float(t.value or 0))[:5]
    running = [t for t in trials if t.state is TrialState.RUNNING][-20:]
    parts = Past().parted(trials, asked=120)
    assert {*parts.good, *parts.bad} == {t.number for t in best + ended[-20:] + running}
    assert parts.ended == 25


def test_what_was_read_of_a_trial_is_not_read_again() -> None:
    past, trials = Past(), told_trials(60)
    first = past.parted(trials, asked=60)
    for trial in trials:
        if trial.state.is_finished():
            trial.intermediate_values.clear()
            trial.params.clear()
    assert past.parted(trials, asked=60) == first


def test_a_trial_that_has_ended_counts_as_it_ended() -> None:
    past, trials = Past(), told_trials(40)
    running = next(t.number for t in trials if t.state is TrialState.RUNNING)
    assert running in past.parted(trials, asked=40).bad
    best = create_trial(
        state=TrialState.COMPLETE,
        params={"dropout": 0.1},
        distributions={"dropout": SPACE["dropout"]},
        value=-1.0,
    )
    best.number = running
    trials[running] = best
    assert running in past.parted(trials, asked=40).good
    best.state = TrialState.FAIL
    fresh = Past().parted(trials, asked=40)
    assert running not in fresh.good + fresh.bad
