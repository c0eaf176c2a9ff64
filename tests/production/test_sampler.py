"""The sampler in an exported pipeline is that of the scores, or the export says that it is not."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline

from tests.conftest import Command, tiny_study
from tests.production.test_damage import full_study
from tests.production.test_handing_over import found
from tune_diffreg.diffusion import ddim_scheduler, latents, sample, sampling_scheduler
from tune_diffreg.diffusion.model import build_model, predict
from tune_diffreg.production import other_sampler, save_pipeline
from tune_diffreg.production.card import model_card
from tune_diffreg.study import Study

SAID = "samples with DDIM, so its images are not those of the scores"


def differing(study: Study, folder: Path) -> float:
    """Share of pixels in which plain diffusers makes other images than those that are scored."""
    network = build_model(study.model, seed=7).eval()
    save_pipeline(network, study, folder)
    pipeline = DDPMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    draws = [torch.Generator().manual_seed(seed) for seed in range(8)]
    steps = study.evaluation.steps
    theirs = pipeline(
        batch_size=8, generator=draws, num_inference_steps=steps, output_type="np"
    ).images
    sampler = sampling_scheduler(study.evaluation.sampler, ddim_scheduler(study.diffusion))
    ours = sample(partial(predict, network), sampler, latents(0, 8, (1, 8, 8)), steps)
    same = (theirs * 255).round().astype(np.uint8)[..., 0] == ours[:, 0].numpy()
    return float(1 - same.mean())


@pytest.mark.parametrize("sampler", ["ddim", "dpmsolver++", "heun"])
def test_what_is_said_of_the_pipeline_is_so(sampler: str, tmp_path: Path) -> None:
    study = tiny_study(f"evaluation.sampler={sampler}", "evaluation.steps=10")
    said = other_sampler(study)
    card = model_card(found(study), loads_in_diffusers=True)
    if sampler == "heun":
        assert differing(study, tmp_path) > 0.1
        assert said is not None
        assert SAID in said
        assert said in card
    else:
        assert differing(study, tmp_path) == 0
        assert said is None
        assert SAID not in card


@pytest.mark.parametrize("sampler", ["ddim", "heun"])
def test_an_export_says_it(sampler: str, tmp_path: Path, command: Command) -> None:
    study = tiny_study(f"evaluation.sampler={sampler}")
    full_study(tmp_path, study)
    output = tmp_path / "out"
    status, printed = command("export", study.name, "--storage", tmp_path, "--output", output)
    assert status == 0, printed
    assert (SAID in " ".join(printed.split())) == (sampler == "heun")
