"""What the report says of each setting: an effect that is there is found, noise names none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg.report import write_report
from tune_diffreg.report.effects import Effect, Effects, effects, holm
from tune_diffreg.results import RungReport, StudyFolder, TrialRecord

STUDY = tiny_study()  # rungs 320, 640, 1280
NUMBER, CHOICE = "regularization.residual_dropout", "optimizer.clip_norm"


def tried(
    seed: int, number: float = 0.0, choice: float = 0.0, count: int = 20, ended: int = 20
) -> list[TrialRecord]:
    """Random trials whose score moves with a number and a choice by so many deviations of noise.

    Args:
        ended: how many reached full length; the others were pruned at the second rung.
    """
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        values: dict[str, Any] = {}
        for path, distribution in STUDY.search.space.items():
            if distribution.choices is not None:
                values[path] = distribution.choices[rng.integers(len(distribution.choices))]
            else:
                values[path] = float(rng.uniform(distribution.low, distribution.high))
        score = 50 + rng.normal() - number * values[NUMBER] - choice * (values[CHOICE] is None)
        scores = {"fd_digits_cnn": float(score), "memorized_fraction": 0.0}
        rungs = STUDY.rungs()[: 3 if index < ended else 2]
        reports = [RungReport(rung, 1.0, scores, "continue") for rung in rungs]
        state = "complete" if index < ended else "pruned"
        found.append(TrialRecord(f"t{index}", values, state=state, reports=reports))
    return found


def of(told: Effects, name: str) -> Effect:
    return next(effect for effect in told.of if effect.name == name)


def test_effects_that_are_there_are_found_and_how_sure_is_said() -> None:
    told = effects(STUDY, tried(0, number=40.0, choice=0.0))
    dropout = of(told, "residual_dropout")
    assert dropout.sentence == "larger is better"
    assert dropout.correlation is not None
    assert dropout.low is not None
    assert dropout.high is not None
    assert dropout.low < dropout.correlation < dropout.high < 0
    assert told.of[0] is dropout
    assert dropout.importance is not None
    assert dropout.importance.low <= dropout.importance.value <= dropout.importance.high
    clipping = of(effects(STUDY, tried(0, choice=20.0)), "clip_norm")
    assert clipping.sentence == "none is best"
    assert clipping.held is not None
    assert clipping.held > 0.9


def test_noise_names_no_more_effects_than_was_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_diffreg.report.effects.shares", lambda *_: {})  # which name none
    named = 0
    for seed in range(40):
        told = effects(STUDY, tried(seed))
        named += any(effect.sentence.endswith("better") for effect in told.of) or any(
            effect.sentence.endswith("is best") for effect in told.of
        )
    assert named <= stats.binom.ppf(0.99, 40, 0.05)


def test_p_values_are_holm_s() -> None:
    given = [0.01, 0.04, 0.03, 0.005, 0.9]
    told = holm([*(Effect(str(i), p_value=p) for i, p in enumerate(given)), Effect("untold")])
    # The smallest times 5, the next times 4, ...; never below one that is smaller.
    assert [effect.p_value for effect in told[:-1]] == pytest.approx([0.04, 0.09, 0.09, 0.025, 0.9])
    assert told[-1].p_value is None


def test_the_highest_rung_that_enough_trials_reached_tells() -> None:
    told = effects(STUDY, tried(0, number=40.0, ended=7))
    assert (told.images, told.trials) == (640, 20)
    assert of(told, "residual_dropout").sentence == "larger is better"
    assert effects(STUDY, tried(0, ended=8)).images == 1280
    none = effects(STUDY, tried(0, count=7))
    assert none.images is None
    assert {effect.sentence for effect in none.of} == {"cannot be told from so few trials"}


def test_the_report_says_which_rung_tells_and_optuna_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    study = tiny_study("search.trials=14")
    play(coordinator(tmp_path, study), study)
    folder = StudyFolder(tmp_path, study.name)
    capfd.readouterr()
    write_report(folder)
    assert capfd.readouterr() == ("", "")
    page = folder.report.read_text()
    assert "short of the full 1,280" in page
    assert "rank correlation" in page
