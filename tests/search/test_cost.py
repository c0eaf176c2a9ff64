"""What a trial costs, measured here by a few steps of it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from tests.conftest import tiny_study
from tune_diffreg.errors import WorkFailed
from tune_diffreg.evaluation import Reference
from tune_diffreg.notes import hang_note
from tune_diffreg.search.cost import Cost, _gpu_share, measure
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


def test_as_many_trials_go_on_a_gpu_as_its_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    card = 80 * 10**9
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (card - 18 * 10**9, card))
    share = _gpu_share(torch.device("cuda"))
    assert share == 0.23  # 22.5 %, rounded up
    assert Cost(1.0, 1.0, 1.0, share).trials_per_gpu == 3
    assert Cost(1.0, 1.0, 1.0, 0.6).trials_per_gpu == 1
    assert _gpu_share(CPU) is None
    assert Cost(1.0, 1.0, 1.0, None).trials_per_gpu is None


def test_a_trial_that_does_not_fit_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    study = tiny_study()
    _, materials = load_materials(study, threads=1)

    def full(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr(Trial, "denoise", full)
    with pytest.raises(WorkFailed, match=r"out of memory .* while it was scored, .*batch_size 32"):
        measure(study, materials)


class Noting(Reference):
    """Notes how many images it is asked to score."""

    asked: ClassVar[list[int]] = []

    def score_with(self, images: torch.Tensor, features: torch.Tensor) -> dict[str, float]:
        assert len(images) == len(features)
        self.asked.append(len(images))
        return super().score_with(images, features)


def test_scores_are_timed_on_as_many_images_as_a_trial_has() -> None:
    """What takes the square or the cube of the images is not known from a part of them."""
    study = tiny_study("evaluation.samples=600", "evaluation.rung_samples=300")
    splits, usual = load_materials(study, threads=1)
    noting = Noting(splits.train.shape[1:], splits.train, usual.reference.extractor,
                    usual.reference.measured)  # fmt: skip
    measure(study, replace(usual, reference=noting))
    assert sorted(noting.asked) == [300, 600]


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


@pytest.mark.parametrize(
    ("limit", "scoring", "is_said"),
    [("60", 5.0, False), ("60", 30.0, True), ("60", 600.0, True), ("null", 1e6, False)],
)
def test_a_limit_that_scoring_may_take_for_a_hang_is_said(
    limit: str, scoring: float, is_said: bool
) -> None:
    note = hang_note(tiny_study(f"resources.hang_seconds={limit}"), scoring)
    assert (note is not None) == is_said
    assert note is None or "resources.hang_seconds 60 may take that for a hang" in note
