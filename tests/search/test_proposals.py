"""Proposals through a real Optuna study in its journal storage."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.conftest import optuna_trials, tiny_study
from tune_diffreg.search.proposals import Proposals

STUDY = tiny_study()


def test_every_proposal_lies_in_the_space_and_conditions_are_kept(tmp_path: Path) -> None:
    proposals = Proposals(STUDY, tmp_path / "optuna.jsonl", set())
    for _ in range(15):
        proposal = proposals.ask()
        for path, value in proposal.values.items():
            assert STUDY.search.space[path].contains(value), path
        hybrid = proposal.values["diffusion.schedule.name"] == "hybrid"
        assert ("diffusion.schedule.blend" in proposal.values) == hybrid
        STUDY.trial_config(proposal.values)
        proposals.tell(proposal.number, "complete", 1.0)


def test_equal_histories_give_equal_proposals(tmp_path: Path) -> None:
    def sequence(name: str) -> list[dict[str, object]]:
        proposals = Proposals(STUDY, tmp_path / name, set())
        asked = []
        for index in range(14):
            proposal = proposals.ask()
            proposals.report(proposal.number, 320, float(index))
            proposals.tell(proposal.number, "complete", float(index))
            asked.append(proposal.values)
        return asked

    assert sequence("one.db") == sequence("two.db")


def test_a_pruned_trial_is_told_as_pruned_with_its_last_value(tmp_path: Path) -> None:
    proposals = Proposals(STUDY, tmp_path / "optuna.jsonl", set())
    number = proposals.ask().number
    proposals.report(number, 320, 50.0)
    proposals.report(number, 640, 40.0)
    proposals.report(number, 640, 99.0)  # a repeated report changes nothing
    proposals.tell(number, "pruned", 40.0, {"memorized_fraction": -0.02})
    proposals.tell(number, "complete", 1.0)  # nor does a second end
    trial = optuna_trials(tmp_path)[number]
    assert trial.state == TrialState.PRUNED
    assert trial.value == 40.0
    assert trial.intermediate_values == {320: 50.0, 640: 40.0}
    assert trial.constraints == {"memorized_fraction": -0.02}


def test_a_failed_trial_is_told_as_failed(tmp_path: Path) -> None:
    proposals = Proposals(STUDY, tmp_path / "optuna.jsonl", set())
    number = proposals.ask().number
    proposals.tell(number, "failed")
    assert optuna_trials(tmp_path)[number].state == TrialState.FAIL


def test_a_proposal_that_no_trial_was_started_with_is_handed_out_again(tmp_path: Path) -> None:
    before = Proposals(STUDY, tmp_path / "optuna.jsonl", set())
    used, lost = before.ask(), before.ask()
    after = Proposals(STUDY, tmp_path / "optuna.jsonl", {used.number})
    assert after.ask() == lost
    assert after.ask().number == lost.number + 1


def test_a_baseline_in_the_space_is_told_once_and_one_outside_is_not(tmp_path: Path) -> None:
    study = tiny_study(
        "search.baselines={unregularized: {}, decayed: {optimizer.weight_decay: 0.01},"
        " slow: {optimizer.weight_decay: 0.01, optimizer.learning_rate: 1.0e-5}}"
    )
    proposals = Proposals(study, tmp_path / "optuna.jsonl", set())
    # No weight decay lies outside a space that is logarithmic in it; so does another setting.
    outside, inside, beside = (study.trial_config(v) for v in study.search.baselines.values())
    for _ in range(2):
        for source, config, value, excess in (
            ("slow", beside, 30.0, 0.0),
            ("unregularized", outside, 20.0, 0.3),
            ("decayed", inside, 25.0, 0.1),
        ):
            violations = {"memorized_fraction": excess}
            told_it = proposals.add_finished(source, config, {1280: value}, True, violations)
            assert told_it == (source == "decayed")
    (told,) = optuna_trials(tmp_path)
    assert told.state == TrialState.COMPLETE
    assert told.value == 25.0
    assert told.params["optimizer.weight_decay"] == 0.01
    assert told.constraints == {"memorized_fraction": 0.1}


def test_infeasible_trials_do_not_attract_proposals(tmp_path: Path) -> None:
    """Low values come with low dropout, which breaks the constraint; TPE must look elsewhere."""
    study = tiny_study("search.space={regularization.residual_dropout: {low: 0.0, high: 0.5}}")

    def late_mean(constrained: bool, path: Path) -> float:
        proposals = Proposals(study, path, set())
        asked = []
        for _ in range(40):
            proposal = proposals.ask()
            dropout = float(proposal.values["regularization.residual_dropout"])
            asked.append(dropout)
            violation = {"memorized_fraction": 0.3 - dropout} if constrained else {}
            proposals.tell(proposal.number, "complete", dropout, violation)
        return sum(asked[-10:]) / 10

    assert late_mean(False, tmp_path / "free.db") < 0.1
    assert late_mean(True, tmp_path / "bound.db") == pytest.approx(0.3, abs=0.1)
