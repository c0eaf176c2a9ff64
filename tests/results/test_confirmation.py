"""What repetitions say: intervals, pairs, ties, the choice, and how it is told."""

from __future__ import annotations

import pytest
from scipy import stats

from tests.conftest import tiny_study
from tune_diffreg.results import RungReport, TrialRecord, candidates, conclude, verdict
from tune_diffreg.results.confirmation import Repetition, repeated_config
from tune_diffreg.results.intervals import Interval

STUDY = tiny_study(
    "search.baselines={plain: {}}",
    "search.trials=6",
    "confirmation={finalists: 2, seeds: 3}",
    "objective={metric: fd_digits_cnn, constraints: {memorized_fraction: {max: 0.1}}}",
)


def trial(
    number: int, distance: float, memorized: float, baseline: str | None = None
) -> TrialRecord:
    scores = {"fd_digits_cnn": distance, "memorized_fraction": memorized}
    report = RungReport(1280, 1.0, scores, "complete")
    return TrialRecord(f"t{number}", {}, baseline, state="complete", reports=[report])


def records(baseline_memorizes: float = 0.0) -> dict[str, TrialRecord]:
    found = [
        trial(0, 50, baseline_memorizes, "plain"),
        trial(1, 30, 0.5),  # best, and copies
        trial(2, 41, 0.0),
        trial(3, 40, 0.0),
        trial(4, 60, 0.0),
        TrialRecord("t5", {}, state="pruned"),
    ]
    return {record.id: record for record in found}


def repeated(**values: list[tuple[float, float]]) -> dict[str, Repetition]:
    """Trial -> (distance, memorised) of seeds 1, 2, …"""
    found = {}
    for name, scored in values.items():
        for number, (distance, memorized) in enumerate(scored, 1):
            scores = {"fd_digits_cnn": distance, "memorized_fraction": memorized}
            run = Repetition(f"{name}-{number}", name, number, "complete", scores, 1280, 1.0)
            found[run.id] = run
    return found


def test_the_interval_is_student_s() -> None:
    values = [3.0, 5.0, 4.5, 6.0]
    expected = stats.t.interval(0.95, 3, loc=4.625, scale=stats.sem(values))
    found = Interval.of(values)
    assert (found.mean, found.low, found.high) == pytest.approx((4.625, *expected))
    assert Interval.of([2.0]) == Interval(2.0, None, None)


def test_the_best_feasible_trials_and_every_baseline_are_repeated() -> None:
    assert candidates(STUDY, records()) == ["t3", "t2", "t0"]
    copying = {"t0": trial(0, 50, 0.9, "plain"), "t1": trial(1, 30, 0.5), "t2": trial(2, 20, 0.7)}
    assert candidates(STUDY, copying) == ["t1", "t2", "t0"]
    without = STUDY.model_copy(update={"confirmation": None})
    assert candidates(without, records()) == []


def test_seeds_and_latents_are_fresh_and_the_same_for_all_candidates() -> None:
    configs = [
        repeated_config(STUDY, records()[name], Repetition("", name, number))
        for name in ("t0", "t3")
        for number in (1, 2)
    ]
    seeds = [config.training.seed for config in configs]
    firsts = [config.evaluation.latents for config in configs]
    assert seeds[:2] == seeds[2:]
    assert len({*seeds, STUDY.training.seed}) == 3
    assert firsts == [80, 160, 80, 160]  # no block of 80 latents overlaps another


def test_nothing_is_concluded_before_all_is_repeated() -> None:
    some = repeated(t3=[(45, 0)] * 3, t2=[(41, 0)] * 3, t0=[(50, 0)] * 2)
    assert conclude(STUDY, records(), some) is None
    failed = {**some, "t0-3": Repetition("t0-3", "t0", 3, "failed", reason="diverged")}
    assert conclude(STUDY, records(), failed) is not None


def test_the_choice_is_by_the_confirmed_mean_and_the_winner_s_curse_is_told() -> None:
    runs = repeated(
        t3=[(46, 0.01), (47, 0.0), (45, 0.02)],
        t2=[(42, 0.0), (43, 0.0), (41, 0.0)],
        t0=[(52, 0.0), (53, 0.0), (51, 0.0)],
    )
    found = conclude(STUDY, records(), runs)
    assert found is not None
    assert (found["chosen"], found["best_baseline"], found["improves"]) == ("t2", "t0", True)
    assert found["winners_curse"] == pytest.approx(1)
    t2, t3 = found["candidates"]["t2"], found["candidates"]["t3"]
    assert t2["to_best_baseline"] == {"mean": -10, "low": -10, "high": -10}
    assert not t3["ties_with_chosen"]
    told = " ".join(verdict(STUDY, found))
    assert (
        "Confirmed on 3 fresh seeds and the test split: t2, FD 42.0 ± 2.5 (95 % interval)" in told
    )
    assert "better than the best baseline, t0 plain, by -10.0" in told
    assert (
        "The search believed 41.0 on its own seed and split; confirmation found 1.000 more" in told
    )


def test_no_improvement_and_ties_are_said_plainly() -> None:
    runs = repeated(
        t3=[(46, 0), (54, 0), (48, 0)], t2=[(47, 0), (55, 0), (50, 0)],
        t0=[(50, 0), (49, 0), (51, 0)],
    )  # fmt: skip
    found = conclude(STUDY, records(), runs)
    assert found is not None
    assert not found["improves"]
    told = " ".join(verdict(STUDY, found))
    assert "It is not better than the best baseline, t0 plain, beyond what chance gives" in told
    assert "It cannot be told from" in told
    assert "t0 plain" in told


def test_a_finalist_that_copies_on_fresh_seeds_is_not_chosen() -> None:
    runs = repeated(
        t3=[(30, 0.2), (30, 0.3), (30, 0.2)], t2=[(60, 0), (61, 0), (62, 0)],
        t0=[(50, 0), (49, 0), (51, 0)],
    )  # fmt: skip
    found = conclude(STUDY, records(), runs)
    assert found is not None
    assert found["chosen"] == "t0"
    assert not found["candidates"]["t3"]["feasible"]
    assert "That is a baseline: no finalist is better" in " ".join(verdict(STUDY, found))


def test_where_every_baseline_copies_meeting_the_constraint_is_the_improvement() -> None:
    runs = repeated(
        t3=[(46, 0), (54, 0), (48, 0)], t2=[(47, 0), (55, 0), (50, 0)],
        t0=[(40, 0.5), (41, 0.5), (42, 0.5)],
    )  # fmt: skip
    found = conclude(STUDY, records(baseline_memorizes=0.5), runs)
    assert found is not None
    assert found["improves"]
    assert "meets the constraints, as no baseline does" in " ".join(verdict(STUDY, found))


def test_where_all_copy_it_is_said_not_to_be_used() -> None:
    runs = repeated(
        t3=[(46, 0.4)] * 3, t2=[(47, 0.5)] * 3, t0=[(40, 0.5)] * 3,
    )  # fmt: skip
    found = conclude(STUDY, records(baseline_memorizes=0.5), runs)
    assert found is not None
    assert not found["improves"]
    assert "do not use it as it is" in " ".join(verdict(STUDY, found))
