"""A trial without Ray: it learns, and it goes on from a checkpoint as if it had never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.conftest import tiny_study
from tune_diffreg.diffusion import latents
from tune_diffreg.search.trial import Trial, load_materials

CPU = torch.device("cpu")


@pytest.mark.slow
def test_trained_samples_beat_noise_by_a_wide_margin() -> None:
    study = tiny_study("evaluation.samples=512", "evaluation.steps=20")
    _, materials = load_materials(study, threads=1)
    noise = ((latents(0, 512, (1, 8, 8)) / 2 + 0.5).clamp(0, 1) * 255).to(torch.uint8)
    by_noise = materials.reference.score(noise, materials.extractor)
    trial = Trial(study, materials, CPU)
    trial.train(until=9600)
    scores, images = trial.evaluate()
    assert images.shape == (512, 1, 8, 8)
    assert scores["fd_digits_cnn"] < by_noise["fd_digits_cnn"] / 4
    assert scores["validation_loss"] > scores["train_loss"]
    assert set(study.score_names) <= set(scores)


def test_a_trial_goes_on_from_its_checkpoint_to_the_same_scores(tmp_path: Path) -> None:
    study = tiny_study("regularization.residual_dropout=0.2")
    _, materials = load_materials(study, threads=1)
    straight = Trial(study, materials, CPU)
    straight.train(until=640)

    first = Trial(study, materials, CPU)
    first.train(until=320)
    first.save(tmp_path)
    second = Trial(study, materials, CPU)
    second.load(tmp_path)
    assert second.images_seen == 320
    assert second.seconds == first.seconds
    second.train(until=640)
    assert second.evaluate()[0] == straight.evaluate()[0]
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_slice_ends_in_time_and_says_that_there_is_more() -> None:
    study = tiny_study()
    _, materials = load_materials(study, threads=1)
    trial = Trial(study, materials, CPU)
    assert not trial.train(until=10**9, seconds=0.2)
    assert 0 < trial.images_seen < 10**6
    assert trial.train(until=trial.images_seen)
