"""What is claimed of the choice: no more than fresh seeds carry, and what they failed to carry."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
from scipy import stats

from tests.results.test_confirmation import STUDY, records, repeated
from tune_diffreg.production.card import model_card
from tune_diffreg.results import (
    Best,
    Repetition,
    TrialRecord,
    confirmation_rows,
    headline,
    summarize,
    usable,
    verdict,
    why_unconfirmed,
)
from tune_diffreg.results.best_config import best_config
from tune_diffreg.results.conclusion import conclude
from tune_diffreg.results.intervals import Interval, familywise
from tune_diffreg.results.verdict import interval

Scored = list[tuple[float, float]]
STEADY: Scored = [(50, 0), (49, 0), (51, 0)]


def failed(runs: dict[str, Repetition], *names: str) -> dict[str, Repetition]:
    """The same with some trainings that failed."""
    lost = {
        name: Repetition(name, runs[name].trial, runs[name].number, "failed", reason="diverged")
        for name in names
    }
    return {**runs, **lost}


def concluded(runs: dict[str, Repetition], baseline_memorizes: float = 0.0) -> dict[str, Any]:
    found = conclude(STUDY, records(baseline_memorizes), runs)
    assert found is not None
    return found


def summarized(trials: dict[str, TrialRecord], runs: dict[str, Repetition]) -> dict[str, Any]:
    """The summary of a study whose journal tells of these repetitions."""
    with mock.patch("tune_diffreg.results.summary.repetitions", return_value=runs):
        return summarize(STUDY, trials, [], "complete")


def card(found: dict[str, Any], trial: str) -> str:
    content = best_config(STUDY, records()[trial], {"data_sha256": "ab"}, found)
    return model_card(Best.model_validate(content), loads_in_diffusers=True)


def test_a_constraint_alone_makes_a_better_choice_and_no_better_distance() -> None:
    found = concluded(
        repeated(
            t3=[(48, 0), (50, 0.01), (49, 0)], t2=[(60, 0)] * 3,
            t0=[(47, 0.5), (44, 0.48), (46, 0.52)],
        ),
        baseline_memorizes=0.5,
    )  # fmt: skip
    assert (found["chosen"], found["improves"]) == ("t3", True)
    assert found["candidates"]["t3"]["improvement"]["by"] == "constraints"
    text = card(found, "t3")
    assert "It meets the constraints, as no baseline does; it differs from t0 plain by 3.3" in text
    assert "better than the best baseline" not in text
    assert all(sentence in text for sentence in verdict(STUDY, found))


def test_a_constraint_that_the_baseline_breaks_by_chance_improves_nothing() -> None:
    found = concluded(
        repeated(
            t3=[(70, 0.05), (71, 0.2), (69, 0.04)], t2=[(80, 0.2)] * 3,
            t0=[(50, 0.1), (51, 0.11), (49, 0.1)],
        )
    )  # fmt: skip
    assert found["chosen"] == "t3"
    assert not found["improves"]
    told = " ".join(verdict(STUDY, found))
    assert "does not, but not beyond what chance gives; it differs from it by 20" in told
    assert "as no baseline does" not in told


def test_the_best_of_several_finalists_needs_a_wider_interval_than_the_only_one() -> None:
    differences = [-10, -14, -6]
    found = concluded(
        repeated(
            t3=[(50 + d, 0) for d in differences], t2=[(70, 0)] * 3, t0=[(50, 0)] * 3,
        )
    )  # fmt: skip
    told = found["candidates"]["t3"]
    assert told["to_best_baseline"]["high"] < 0
    claim = told["improvement"]
    assert claim["confidence"] == pytest.approx(0.975)  # of 2 finalists
    reach = stats.t.ppf(1 - 0.05 / 2 / 2, 2) * stats.sem(differences)
    assert claim["differences"]["fd_digits_cnn"]["high"] == pytest.approx(-10 + reach)
    assert not found["improves"]
    assert "and not for the best of several" in " ".join(verdict(STUDY, found))


def test_no_more_improvements_are_found_in_noise_than_was_promised() -> None:
    rng = np.random.default_rng(3)
    found = 0
    for _ in range(1000):
        best = min(rng.normal(size=(3, 6)), key=lambda seeds: seeds.mean())
        found += Interval.of(list(best), familywise(3)).below_zero
    assert found / 1000 <= 0.05


def test_a_constraint_s_interval_beyond_its_bound_is_told() -> None:
    runs = repeated(t3=[(40, 0.02), (41, 0.03), (39, 0.15)], t2=[(70, 0)] * 3, t0=STEADY)
    found = concluded(runs)
    assert found["chosen"] == "t3"
    assert found["candidates"]["t3"]["beyond_bound"] == ["memorized_fraction"]
    told = " ".join(verdict(STUDY, found))
    assert "reaches beyond the bound: memorised fraction 6.7% (0.0% to 24.6%)" in told
    assert "where at most 10.0% is allowed" in told
    assert any("on average" in row for row in confirmation_rows(STUDY, found))


def test_the_interval_of_a_fraction_stays_between_nothing_and_all() -> None:
    runs = repeated(t3=[(40, 0.0), (41, 0.0), (39, 0.02)], t2=[(70, 0)] * 3, t0=STEADY)
    found = concluded(runs)["candidates"]
    shown = found["t3"]["scores"]["memorized_fraction"]
    assert shown["low"] == 0
    assert interval("memorized_fraction", shown) == "0.7% (0.0% to 3.5%)"
    never = found["t0"]["scores"]["memorized_fraction"]
    assert interval("memorized_fraction", never) == "0.0% on every seed"
    distance = found["t3"]["scores"]["fd_digits_cnn"]
    assert interval("fd_digits_cnn", distance) == "40.0 ± 2.5"


def test_what_breaks_a_constraint_on_fresh_seeds_is_not_to_be_used_whatever_was_believed() -> None:
    runs = repeated(t3=[(46, 0.4)] * 3, t2=[(47, 0.5)] * 3, t0=[(40, 0.5)] * 3)
    found = concluded(runs)
    believed = records()
    assert STUDY.objective.violation(believed["t3"].scores) == 0
    assert not usable(STUDY, believed["t3"], found)
    assert headline(found).startswith("Use none as it is")
    summary = summarized(believed, runs)
    assert not summary["best"]["feasible"]
    text = card(found, "t3")
    assert "**It breaks a constraint of its study on fresh seeds: do not use it" in text
    assert not Best.model_validate(best_config(STUDY, believed["t3"], {}, found)).usable
    usual = concluded(repeated(t3=[(40, 0)] * 3, t2=[(47, 0)] * 3, t0=STEADY))
    assert headline(usual) == "Use t3."


def test_one_of_which_a_training_failed_is_chosen_after_those_of_which_none_did() -> None:
    runs = repeated(t3=[(20, 0)] * 3, t2=[(40, 0), (41, 0), (39, 0)], t0=STEADY)
    found = concluded(failed(runs, "t3-1"))
    assert found["chosen"] == "t2"
    assert (found["candidates"]["t3"]["completed"], found["candidates"]["t3"]["failed"]) == (2, 1)
    told = " ".join(verdict(STUDY, found))
    assert "Confirmed on 3 fresh seeds" in told
    assert "Trainings of t3 failed too." in told
    assert any(row[0] == "t3 (1 of 3 failed)" for row in confirmation_rows(STUDY, found))


def test_what_is_left_of_failed_trainings_is_told_as_what_it_is() -> None:
    runs = repeated(t3=[(30, 0)] * 3, t2=[(40, 0)] * 3, t0=STEADY)
    lost = failed(runs, *(f"{t}-{n}" for t in ("t3", "t2", "t0") for n in (2, 3)), "t2-1")
    found = concluded(lost)
    assert (found["chosen"], found["improves"]) == ("t3", False)
    assert found["candidates"]["t0"]["ties_with_chosen"]  # nobody can tell
    assert found["candidates"]["t2"]["scores"] == {}
    told = " ".join(verdict(STUDY, found))
    assert "t3 was scored on one fresh seed and the test split" in told
    assert "2 of its 3 trainings on fresh seeds failed" in told
    assert "It cannot be told from t0 plain." in told
    assert "Confirmed on" not in told
    assert "by what cannot be told from so few seeds" in told
    assert verdict(STUDY, found, "t2") == ["Every training of t2 on fresh seeds failed."]
    assert len(confirmation_rows(STUDY, found)) == 4


def test_a_confirmation_of_which_all_failed_says_so() -> None:
    runs = repeated(t3=[(30, 0)] * 3, t2=[(40, 0)] * 3, t0=STEADY)
    lost = failed(runs, *runs)
    assert conclude(STUDY, records(), lost) is None
    said = "Nothing is confirmed: all 9 trainings on fresh seeds failed (diverged)."
    assert why_unconfirmed(STUDY, records(), lost) == said
    summary = summarized(records(), lost)
    assert (summary["confirmation"], summary["unconfirmed"]) == (None, said)
    content = best_config(STUDY, records()["t3"], {}, None, said)
    assert said in model_card(Best.model_validate(content), loads_in_diffusers=True)
    assert why_unconfirmed(STUDY, records(), runs) is None
    assert why_unconfirmed(STUDY, records(), dict(list(lost.items())[:8])) is None


def test_what_the_search_believed_is_told_also_where_a_baseline_wins() -> None:
    runs = repeated(t3=[(60, 0)] * 3, t2=[(70, 0)] * 3, t0=[(45, 0), (46, 0), (44, 0)])
    found = concluded(runs)
    assert found["chosen"] == "t0"
    told = " ".join(verdict(STUDY, found))
    assert "The search believed of t3, the best it had found, 40.0 on its own seed" in told
    assert "confirmation found 20.0 more." in told
    assert found["baselines_gap"] == -5
    assert "Of baselines, which no search picked, it found 5.000 less" in told


def test_another_trial_than_the_choice_keeps_its_own_confirmation() -> None:
    runs = repeated(t3=[(40, 0), (41, 0), (39, 0)], t2=[(60, 0), (62, 0), (61, 0)], t0=STEADY)
    found = concluded(runs)
    text = card(found, "t2")
    assert "61.0 ± 2.5" in text
    assert "It is not better than the best baseline, t0 plain" in text
    assert "The study chose t3." in text
    assert "nothing was confirmed" in card(found, "t4")
    seeds = found["training_seeds"]
    assert len(set(seeds)) == 3
    content = best_config(STUDY, records()["t2"], {}, found)
    assert content["confirmation"]["training_seeds"] == seeds
