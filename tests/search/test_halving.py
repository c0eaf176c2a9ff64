"""What becomes of a trial at a rung, and agreement with Ray's own ASHA where both decide."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

from tune_diffreg.search.halving import Decision, Stop


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
