"""The audit of pruning: what controls say of each rung, and when they are too few to say it."""

from __future__ import annotations

import pytest
from scipy.stats import spearmanr

from tests.conftest import tiny_study
from tune_diffreg.results import RungReport, TrialRecord, audit, audit_sentences
from tune_diffreg.study import Study

STUDY = tiny_study("halving.variant=stop")
RUNGS = (320, 640, 1280)


def trial(
    name: str, values: list[float], control: bool = False, spared: bool = False
) -> TrialRecord:
    """A trial with a value at each rung that it reached; a `spared` one would have been pruned."""
    reports = [
        RungReport(
            images,
            1.0,
            {"fd_digits_cnn": value, "memorized_fraction": 0.0},
            "spare" if spared and images == RUNGS[0] else "continue",
        )
        for images, value in zip(RUNGS, values, strict=False)
    ]
    state = "complete" if len(values) == len(RUNGS) else "pruned"
    return TrialRecord(name, {}, control=control, state=state, reports=reports)


def controls(early: list[float], late: list[float], spared: int = 0) -> list[TrialRecord]:
    return [
        trial(f"c{i}", [a, a, b], control=True, spared=i < spared)
        for i, (a, b) in enumerate(zip(early, late, strict=True))
    ]


EARLY = [3.0, 1.0, 4.0, 1.5, 5.0, 9.0, 2.0, 6.0, 5.5]
LATE = [2.0, 7.0, 1.0, 8.0, 2.5, 1.8, 4.5, 9.0, 0.5]


def test_a_study_without_halving_has_no_audit() -> None:
    assert audit(tiny_study("halving=null"), []) is None


def test_too_few_controls_cannot_tell() -> None:
    found = audit(STUDY, controls(EARLY[:7], LATE[:7]))
    assert found is not None
    assert found["rungs"] is None
    assert found["pruned_would_win"] is None
    assert "cannot be told from 7 controls; 8 are needed" in " ".join(audit_sentences(found))


def test_rank_correlation_is_scipys_and_its_interval_holds_it() -> None:
    found = audit(STUDY, controls(EARLY, LATE))
    assert found is not None
    for rung in found["rungs"]:
        assert rung["spearman"] == pytest.approx(spearmanr(EARLY, LATE).statistic, abs=1e-4)
        low, high = rung["interval_90"]
        assert -1 < low < rung["spearman"] < high < 1
    assert [rung["images"] for rung in found["rungs"]] == [320, 640]


def test_a_rung_that_predicts_badly_is_warned_about_and_one_that_predicts_well_is_not() -> None:
    bad, good = audit(STUDY, controls(EARLY, LATE)), audit(STUDY, controls(EARLY, EARLY))
    assert bad is not None
    assert good is not None
    r = spearmanr(EARLY, LATE).statistic
    assert bad["warnings"][0] == (
        f"Rung 320 orders trials at Spearman {r:.2f}: raise halving.first_rung."
    )
    assert audit_sentences(bad)[-1] in bad["warnings"]
    assert good["warnings"] == []
    assert good["rungs"][0]["spearman"] == 1.0


def test_the_constraint_comes_before_the_objective() -> None:
    trials = controls(EARLY, EARLY)
    for record in trials[:4]:
        record.reports[-1].scores["memorized_fraction"] = 0.5
    found = audit(STUDY, trials)
    assert found is not None
    assert found["rungs"][0]["spearman"] < 0.9


def test_the_chance_that_a_pruned_trial_would_have_won() -> None:
    """Of three controls that would have been pruned, two end better than all others."""
    late = [0.1, 0.2, 5.0, 4.0, 6.0, 7.0, 8.0, 9.0, 3.0]
    found = audit(STUDY, [*controls(EARLY, late, spared=3), trial("t", [1.0, 1.0, 1.0])])
    assert found is not None
    wins = found["pruned_would_win"]
    assert (wins["controls"], wins["won"]) == (3, 2)
    assert wins["chance"] == pytest.approx(2 / 3)
    assert 0 < wins["interval_90"][0] < 2 / 3 < wins["interval_90"][1] < 1
    assert "67% (" in " ".join(audit_sentences(found))


def test_with_promotion_it_counts_where_a_control_stood_in_the_end() -> None:
    study: Study = tiny_study("halving.variant=promote")
    trials = [*controls(EARLY, EARLY), *(trial(f"p{i}", [0.1]) for i in range(7))]
    found = audit(study, trials)
    assert found is not None
    # Sixteen at the first rung, the best eight go on: seven others, and the best of the controls.
    assert found["pruned_would_win"]["controls"] == 8


def test_images_saved_count_what_the_pruned_did_not_see() -> None:
    found = audit(STUDY, [trial("a", [1.0, 1.0, 1.0]), trial("b", [2.0]), trial("c", [2.0, 2.0])])
    assert found is not None
    assert found["images"] == {"seen": 2240, "without_pruning": 3840, "saved": 0.4167}
    assert audit_sentences(found)[0].startswith("Pruning saved 42% of the training: 2,240 images")
