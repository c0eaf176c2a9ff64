"""Every sampler that a study file can name: inside the space, repeatable, and able to go on."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import qmc

from tests.conftest import optuna_trials, tiny_study
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.study import Distribution, Study

SAMPLERS = ["tpe", "random", "gp", "cmaes", "qmc"]
# What each kind of setting may be: a range, a logarithm, whole numbers, steps, choices, conditions.
SPACE = (
    "search.space={regularization.residual_dropout: {low: 0.0, high: 0.5},"
    " optimizer.weight_decay: {low: 1.0e-4, high: 1.0, log: true},"
    " optimizer.warmup: {low: 0, high: 7},"
    " augmentation.color_jitter: {low: 0.0, high: 0.5, step: 0.1},"
    " optimizer.clip_norm: {choices: [null, 1.0]},"
    " diffusion.schedule.name: {choices: [cosine, hybrid]},"
    " diffusion.schedule.blend: {low: 0.0, high: 1.0, when: {diffusion.schedule.name: hybrid}}}"
)


def study_with(sampler: str) -> Study:
    return tiny_study(SPACE, f"search.sampler={sampler}")


def sequence(study: Study, path: Path, stop_at: tuple[int, ...] = ()) -> list[dict[str, Any]]:
    """Proposals as a search with pruning asks for them; made anew at the numbers of `stop_at`."""
    proposals, asked, claimed = Proposals(study, path, set()), [], set[int]()
    for index in range(24):
        proposal = proposals.ask()
        if index in stop_at:  # dies between asking and starting a trial with it
            proposals = Proposals(study, path, claimed)
            assert proposals.ask() == proposal
        claimed.add(proposal.number)
        asked.append(proposal.values)
        dropout = float(proposal.values["regularization.residual_dropout"])
        proposals.report(proposal.number, 320, dropout)
        state = "pruned" if index % 3 else "complete"
        proposals.tell(proposal.number, state, dropout, {"memorized_fraction": 0.1 - dropout})
    return asked


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_proposals_lie_in_the_space_and_nothing_is_said_on_the_screen(
    tmp_path: Path, sampler: str, capfd: pytest.CaptureFixture[str]
) -> None:
    study = study_with(sampler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = sequence(study, tmp_path / "optuna.jsonl")
    for values in asked:
        for path, value in values.items():
            assert study.search.space[path].contains(value), (path, value)
        assert ("diffusion.schedule.blend" in values) == (
            values["diffusion.schedule.name"] == "hybrid"
        )
        study.trial_config(values)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""
    assert all(trial.state.is_finished() for trial in optuna_trials(tmp_path))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_search_that_was_made_anew_proposes_what_it_would_have(
    tmp_path: Path, sampler: str
) -> None:
    study = study_with(sampler)
    straight = sequence(study, tmp_path / "straight.db")
    assert sequence(study, tmp_path / "broken.db", stop_at=(0, 5, 6, 17)) == straight
    assert len({tuple(values.values()) for values in straight}) > 20


def test_qmc_is_one_sobol_sequence_conditions_included(tmp_path: Path) -> None:
    asked = sequence(study_with("qmc"), tmp_path / "optuna.jsonl")
    dropout = np.array([values["regularization.residual_dropout"] for values in asked])
    decay = np.array([values["optimizer.weight_decay"] for values in asked])
    points = np.stack([dropout / 0.5, np.log10(decay) / 4 + 1], axis=1)
    random = np.random.default_rng(0).random(points.shape)
    assert qmc.discrepancy(points[:16]) < qmc.discrepancy(random[:16]) / 2


@pytest.mark.parametrize(
    ("distribution", "at"),
    [
        (Distribution(low=0.0, high=2.0), {0.0: 0.0, 0.5: 1.0, 0.999: 1.998}),
        (Distribution(low=1e-4, high=1.0, log=True), {0.0: 1e-4, 0.5: 1e-2}),
        (Distribution(low=1, high=4), {0.0: 1, 0.49: 2, 0.5: 3, 0.999: 4}),
        (Distribution(low=0.0, high=0.5, step=0.1), {0.0: 0.0, 0.5: 0.3, 0.999: 0.5}),
        (Distribution(choices=["a", None]), {0.0: "a", 0.5: None}),
    ],
)
def test_quantiles_of_a_distribution(distribution: Distribution, at: dict[float, Any]) -> None:
    for quantile, value in at.items():
        assert distribution.at_quantile(quantile) == (
            pytest.approx(value) if isinstance(value, float) else value
        )
