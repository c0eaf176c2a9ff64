"""The registered model, as MLflow loads it."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from tests.conftest import Command, tiny_study
from tests.diffusion.test_model import SOURCE
from tune_diffreg.diffusion import latents, sample, sampling_scheduler
from tune_diffreg.diffusion.model import build_model, predict
from tune_diffreg.diffusion.schedule import ddim_scheduler
from tune_diffreg.production import save_pipeline
from tune_diffreg.production.champion import Champion
from tune_diffreg.production.export import PIPELINE
from tune_diffreg.results import RungReport, TrialRecord
from tune_diffreg.results.best_config import best_config


def test_a_model_of_ones_own_makes_an_image_a_seed_and_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    (tmp_path / "own_models.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_models", raising=False)
    model = "{in_channels: 1, sample_size: 8, factory: 'own_models:good', arguments: {width: 4}}"
    study = tiny_study(f"model={model}")
    scores = {"fd_digits_cnn": 40.0, "memorized_fraction": 0.0}
    report = RungReport(1280, 1.0, scores, "complete")
    record = TrialRecord("t0000", {}, "plain", state="complete", reports=[report])
    (tmp_path / "best.yaml").write_text(yaml.safe_dump(best_config(study, record, {})))
    network = build_model(study.model, seed=7).eval()  # not the one that a fresh build gives
    save_pipeline(network, study, tmp_path / PIPELINE)

    seeds = [5, 3]
    made = Champion(tmp_path).predict(seeds)
    noise = torch.cat([latents(seed, 1, (1, 8, 8)) for seed in seeds])
    scheduler = sampling_scheduler("ddim", ddim_scheduler(study.diffusion))
    expected = sample(partial(predict, network), scheduler, noise, study.evaluation.steps)
    assert made.shape == (2, 8, 8, 1)
    assert np.array_equal((made * 255).round().astype(np.uint8)[..., 0], expected[:, 0].numpy())

    status, printed = command("evaluate", tmp_path, "--samples", "20", "--json")
    assert status == 2
    assert "--trust" in printed
    status, printed = command("evaluate", tmp_path, "--samples", "20", "--json", "--trust")
    assert status == 0, printed
    assert json.loads(printed)["images"] == 20
    for steps, said in (("61", "cannot be spread"), ("2000", "has 1,000 timesteps")):
        asked = ("--samples", "20", "--trust", "--steps", steps)
        status, printed = command("evaluate", tmp_path, *asked)
        assert (status, printed.count("\n")) == (2, 1), printed
        assert said in printed
    weights = tmp_path / PIPELINE / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    status, printed = command("evaluate", tmp_path, "--samples", "20", "--trust")
    assert (status, printed.count("\n")) == (2, 1), printed
    assert "model.safetensors: cannot be used" in printed
