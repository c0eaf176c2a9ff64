"""What becomes of a trial at a rung, and agreement with Ray's own ASHA where both decide."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from tune_diffreg.search.halving import VARIANTS, Decision, Promote, Stop


def values(*ranks: float) -> list[tuple[float, float]]:
    return [(0.0, value) for value in ranks]


def test_the_first_at_a_rung_continues_and_the_worst_of_several_is_pruned() -> None:
    halving = Stop((10, 30, 90), 3)
    decisions = [
        halving.report(f"t{i}", 10, rank) for i, rank in enumerate(values(5.0, 4.0, 9.0, 3.0, 6.0))
    ]
    assert decisions == ["continue", "continue", "prune", "continue", "prune"]


def test_feasible_comes_before_infeasible() -> None:
    halving = Stop((10, 90), 2)
    assert halving.report("good", 10, (0.0, 50.0)) is Decision.CONTINUE
    assert halving.report("copier", 10, (0.5, 1.0)) is Decision.PRUNE
    halving = Stop((10, 90), 2)
    assert halving.report("copier", 10, (0.5, 1.0)) is Decision.CONTINUE
    assert halving.report("good", 10, (0.0, 50.0)) is Decision.CONTINUE


def test_an_exempt_trial_is_recorded_and_never_pruned() -> None:
    halving = Stop((10, 90), 2)
    halving.report("a", 10, (0.0, 1.0))
    assert halving.report("control", 10, (0.0, 9.0), exempt=True) is Decision.SPARE
    # 9 is among those that count: between 1 and 9 the top half ends at 5.
    assert halving.report("b", 10, (0.0, 4.0)) is Decision.CONTINUE


def test_full_length_completes() -> None:
    halving = Stop((10, 90), 2)
    assert halving.report("a", 95, (9.0, 9.0)) is Decision.COMPLETE


def test_a_late_report_counts_at_the_rung_it_reached_and_only_there() -> None:
    halving = Stop((10, 30, 90), 2)
    assert halving.report("late", 35, (0.0, 1.0)) is Decision.CONTINUE
    assert halving.report("first", 10, (0.0, 9.0)) is Decision.CONTINUE  # nobody else there
    assert halving.report("second", 30, (0.0, 2.0)) is Decision.PRUNE


def test_a_trial_counts_once_a_rung() -> None:
    halving = Stop((10, 90), 2)
    halving.report("a", 10, (0.0, 1.0))
    assert halving.report("b", 10, (0.0, 2.0)) is Decision.PRUNE
    assert halving.report("a", 10, (0.0, 99.0)) is Decision.CONTINUE
    # Had a's second report counted, the top half would end at 2 and not at 1.
    assert halving.report("c", 10, (0.0, 1.6)) is Decision.PRUNE


@settings(max_examples=200, deadline=None)
@given(
    factor=st.integers(2, 4),
    reports=st.lists(
        st.tuples(st.integers(0, 11), st.floats(-100, 100).map(lambda x: round(x, 3))), max_size=60
    ),
)
def test_on_finite_traces_it_decides_as_rays_asha(
    factor: int, reports: list[tuple[int, float]]
) -> None:
    """Each report takes one of twelve trials to its next rung, until it is pruned or done.

    A loss exactly at the cutoff is left out: there Ray decides by the rounding of a percentile.
    """
    rungs = (4, 4 * factor, 4 * factor**2)
    asha = ASHAScheduler("images", "loss", "min", max_t=rungs[-1], grace_period=4,
                         reduction_factor=factor)  # fmt: skip
    trials = {n: SimpleNamespace(trial_id=str(n), config={}) for n in range(12)}
    for trial in trials.values():
        asha.on_trial_add(None, trial)  # type: ignore[arg-type]
    ours = Stop(rungs, factor)
    at = dict.fromkeys(trials, 0)
    for number, loss in reports:
        if at[number] >= len(rungs):
            continue
        images = rungs[at[number]]
        cutoff = ours.rungs[at[number]].cutoff(factor)
        theirs = asha.on_trial_result(None, trials[number], {"images": images, "loss": loss})  # type: ignore[arg-type]
        decision = ours.report(str(number), images, (0.0, loss))
        if cutoff is not None and abs(loss - cutoff[1]) < 1e-9:
            at[number] = len(rungs)
            continue
        assert (decision is Decision.CONTINUE) == (theirs == TrialScheduler.CONTINUE)
        at[number] = at[number] + 1 if decision is Decision.CONTINUE else len(rungs)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("inf")])
def test_a_rank_that_is_not_finite_fails_and_is_not_recorded(variant: str, broken: float) -> None:
    """Ray's ASHA lets a NaN go on: no comparison with it is true."""
    halving = VARIANTS[variant]((10, 90), 2)
    assert halving.report("a", 10, (0.0, broken)) is Decision.FAIL
    assert halving.report("b", 10, (broken, 1.0)) is Decision.FAIL
    assert len(halving.rungs[0]) == 0


def test_promotion_takes_the_best_of_the_highest_rung_that_has_one_to_promote() -> None:
    halving = Promote((10, 20, 40), 2)
    assert halving.report("a", 10, (0.0, 5.0)) is Decision.PAUSE
    assert halving.promotable() is None  # the top half of one is nobody
    assert halving.report("b", 10, (0.0, 6.0)) is Decision.PAUSE
    assert halving.promotable() == "a"
    halving.release("a")
    assert halving.promotable() is None
    assert halving.report("c", 10, (0.0, 7.0)) is Decision.PAUSE
    assert halving.report("d", 10, (0.0, 9.0)) is Decision.PAUSE
    assert halving.report("a", 20, (0.0, 4.0)) is Decision.PAUSE
    # Four at the first rung: a and b are its better half, and a is further already.
    assert halving.promotable() == "b"
    halving.release("b")
    assert halving.report("b", 20, (0.0, 2.0)) is Decision.CONTINUE  # would be promoted at once
    assert halving.report("b", 40, (0.0, 1.0)) is Decision.COMPLETE
    assert halving.report("e", 10, (0.0, 1.0)) is Decision.CONTINUE  # here too
    assert halving.paused() == ["c", "d", "a"]


def test_a_paused_trial_that_nothing_can_promote_any_more_is_given_up() -> None:
    halving = Promote((10, 20), 2)
    for name, value in {"a": 1.0, "b": 2.0, "c": 3.0}.items():
        halving.report(name, 10, (0.0, value))
    # With six trials in all the best three may be promoted; with five, two.
    assert halving.drop_hopeless(entrants=6, exempt=0) == []
    assert halving.drop_hopeless(entrants=5, exempt=0) == ["c"]
    assert halving.paused() == ["a", "b"]
    assert halving.drop_hopeless(entrants=0, exempt=0) == ["b", "a"]


def test_when_nothing_else_can_run_the_best_goes_on_unless_one_has_reached_the_end() -> None:
    halving = Promote((10, 20), 3)
    halving.report("a", 10, (0.0, 2.0))
    halving.report("b", 10, (0.0, 1.0))
    assert halving.promotable() is None
    assert halving.promotable(closing=True) == "b"
    halving.release("b")
    halving.report("b", 20, (0.0, 1.0))
    assert halving.promotable(closing=True) is None


def test_promotion_spares_an_exempt_trial_that_is_not_among_the_best() -> None:
    halving = Promote((10, 20), 2)
    halving.report("a", 10, (0.0, 1.0))
    assert halving.report("weak", 10, (0.0, 9.0), exempt=True) is Decision.SPARE
    assert halving.report("strong", 10, (0.0, 0.5), exempt=True) is Decision.CONTINUE
    assert halving.paused() == ["a"]
    assert halving.promotable() is None  # a is the second of three: the one place is taken


Reports = list[tuple[int, float, bool]]
REPORTS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0]), st.booleans()),
    max_size=60,
)


def drive(halving: Stop | Promote, reports: Reports) -> list[object]:
    """Takes ten trials from rung to rung, each as far as it is let; what was decided."""
    rungs = [rung.images for rung in halving.rungs]
    at: dict[int, int] = {}
    decided: list[object] = []
    for number, value, exempt in reports:
        trial, step = str(number), at.get(number, 0)
        if step is None or step >= len(rungs) or trial in halving.paused():
            continue
        decision = halving.report(trial, rungs[step], (0.0, value), exempt)
        at[number] = step + 1 if decision.goes_on or decision is Decision.PAUSE else len(rungs)
        decided.append(decision)
        if (promoted := halving.promotable()) is not None:
            halving.release(promoted)
            decided.append(promoted)
    return decided


@pytest.mark.parametrize("variant", VARIANTS)
@settings(max_examples=100, deadline=None)
@given(before=REPORTS, after=REPORTS)
def test_a_state_that_was_json_decides_as_the_original(
    variant: str, before: Reports, after: Reports
) -> None:
    """Ray's ASHA loses its rungs when it is restored."""
    original = VARIANTS[variant]((4, 8, 16), 2)
    drive(original, before)
    copy = VARIANTS[variant].from_state(json.loads(json.dumps(original.to_state())))
    assert copy.to_state() == original.to_state()
    assert drive(copy, after) == drive(original, after)
    assert copy.to_state() == original.to_state()
