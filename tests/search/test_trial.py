"""A trial without Ray: it learns, and it goes on from a checkpoint as if it had never stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import tiny_study
from tests.diffusion.test_model import SOURCE
from tune_diffreg.diffusion import latents
from tune_diffreg.diffusion.model import build_model
from tune_diffreg.search.trial import MODEL, Trial, load_materials
from tune_diffreg.study.scores import all_of as scores_of

CPU = torch.device("cpu")


@pytest.mark.slow
def test_trained_samples_beat_noise_by_a_wide_margin() -> None:
    study = tiny_study("evaluation.samples=512", "evaluation.steps=20")
    _, materials = load_materials(study, threads=1)
    noise = ((latents(0, 512, (1, 8, 8)) / 2 + 0.5).clamp(0, 1) * 255).to(torch.uint8)
    by_noise = materials.reference.score(noise)
    trial = Trial(study, materials, CPU)
    trial.train(until=9600)
    scores, images = trial.evaluate()
    assert images.shape == (512, 1, 8, 8)
    assert scores["fd_digits_cnn"] < by_noise["fd_digits_cnn"] / 4
    assert scores["validation_loss"] > scores["train_loss"]
    assert set(scores_of(study.evaluation.feature_name)) <= set(scores)


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


def test_a_report_that_is_made_again_after_a_kill_says_the_same(tmp_path: Path) -> None:
    study = tiny_study("optimizer.clip_norm=0.3")
    _, materials = load_materials(study, threads=1)
    first = Trial(study, materials, CPU)
    first.train(until=320)
    reported = first.evaluate()[0]
    first.save(tmp_path)  # and is killed before anyone has heard of the report
    second = Trial(study, materials, CPU)
    second.load(tmp_path)
    assert second.evaluate()[0] == reported
    assert 0 < reported["clipped_fraction"] <= 1


def test_a_model_with_one_weight_under_two_names_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tied_models.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    study = tiny_study("model={in_channels: 1, sample_size: 8, factory: 'tied_models:fourier'}")
    _, materials = load_materials(study, threads=1)
    trial = Trial(study, materials, CPU)
    trial.train(until=64)
    trial.evaluate()
    trial.save_model(tmp_path)
    saved = load_file(tmp_path / MODEL)
    assert torch.equal(saved["time.weight"], saved["again.weight"])
    fresh = build_model(study.model, seed=0)
    fresh.load_state_dict(saved)


def test_a_slice_ends_in_time_and_says_that_there_is_more() -> None:
    study = tiny_study()
    _, materials = load_materials(study, threads=1)
    trial = Trial(study, materials, CPU)
    assert not trial.train(until=10**9, seconds=0.2)
    assert 0 < trial.images_seen < 10**6
    assert trial.train(until=trial.images_seen)


def test_fewer_images_are_scored_at_a_rung_and_they_are_the_first_of_the_latents() -> None:
    study = tiny_study("evaluation.rung_samples=40")
    _, materials = load_materials(study, threads=1)
    trial = Trial(study, materials, CPU)
    trial.train(until=320)
    assert torch.equal(trial.evaluate()[1], trial.denoise(80)[:40])
    trial.train(until=study.training.images)
    assert len(trial.evaluate()[1]) == 80
