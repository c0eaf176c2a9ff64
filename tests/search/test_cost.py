"""What a trial costs, measured here by a few steps of it."""

from __future__ import annotations

import time
from dataclasses import replace

import torch

from tests.conftest import tiny_study
from tune_diffreg.evaluation import Reference
from tune_diffreg.search.cost import Cost, measure
from tune_diffreg.search.trial import Trial, load_materials
from tune_diffreg.study import Study

CPU = torch.device("cpu")


def cost(study: Study) -> Cost:
    return measure(study, load_materials(study, threads=1)[1])


def test_the_share_of_scoring_follows_what_is_scored() -> None:
    seldom = cost(tiny_study("evaluation.rung_samples=10", "evaluation.steps=4"))
    much = cost(tiny_study("evaluation.samples=512", "evaluation.steps=50"))
    assert much.scoring_seconds > seldom.scoring_seconds
    assert 0 < seldom.scoring_share < much.scoring_share < 1


class Slow(Reference):
    """Scores that take the square of the images: 2 seconds for 1,024."""

    def score_with(self, images: torch.Tensor, features: torch.Tensor) -> dict[str, float]:
        assert len(images) == len(features)
        time.sleep(2 * (len(images) / 1024) ** 2)
        return {}


def test_scores_are_timed_on_as_many_images_as_a_trial_has() -> None:
    """What takes the square of the images is not known from a part of them."""
    study = tiny_study("evaluation.samples=1024", "evaluation.steps=1", "halving=null")
    splits, usual = load_materials(study, threads=1)
    slow = Slow(splits.train.shape[1:], splits.train, usual.reference.extractor,
                usual.reference.measured)  # fmt: skip
    foretold = measure(study, replace(usual, reference=slow)).scoring_seconds
    assert 2 < foretold < 12


def test_what_is_foretold_is_what_a_trial_takes() -> None:
    study = tiny_study("training.images=3200")
    _, materials = load_materials(study, threads=1)
    foretold = measure(study, materials)
    trial = Trial(study, materials, CPU)
    training = scoring = 0.0
    for until in study.rungs():
        start = time.monotonic()
        trial.train(until)
        training += (reached := time.monotonic()) - start
        trial.evaluate()
        scoring += time.monotonic() - reached
    assert 0.4 < foretold.training_seconds / training < 2.5
    assert 0.4 < foretold.scoring_seconds / scoring < 2.5
