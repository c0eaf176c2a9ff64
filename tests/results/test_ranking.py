"""The best trial, and the one that leads while none is complete."""

from __future__ import annotations

from tests.conftest import tiny_study
from tests.results.test_audit import trial
from tune_diffreg.results import TrialRecord, best_trial, leading_trial

STUDY = tiny_study()  # rungs 320, 640, 1280; reduction factor 2


def leader(*trials: TrialRecord) -> str | None:
    found = leading_trial(STUDY, trials)
    return found and found.id


def test_nobody_leads_before_there_is_a_comparison() -> None:
    assert leader() is None
    assert leader(trial("a", [50.0])) is None


def test_the_best_of_the_highest_rung_that_enough_have_reached_leads() -> None:
    first = [trial("a", [50.0]), trial("b", [40.0])]
    assert leader(*first) == "b"
    assert leader(*first, trial("c", [60.0, 60.0], control=True)) == "b"
    assert leader(*first, trial("c", [60.0, 60.0]), trial("d", [45.0, 55.0])) == "d"


def test_a_complete_trial_leads_alone_and_baselines_and_failures_never_do() -> None:
    first = [trial("a", [50.0]), trial("b", [40.0])]
    assert leader(*first, trial("c", [60.0, 60.0, 60.0])) == "c"
    baseline = trial("u", [10.0, 10.0, 10.0])
    baseline.baseline = "unregularized"
    failed = trial("f", [1.0])
    failed.state = "failed"
    assert leader(baseline, failed, *first) == "b"
    best = best_trial(STUDY, [baseline, *first])
    assert best is not None
    assert best.id == "u"
