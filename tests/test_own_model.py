"""A model of the user's own, and images kept in a file, through a whole study on real Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torchvision.io import write_png

from tests.diffusion.test_model import SOURCE

pytestmark = pytest.mark.slow

STUDY = """
name: own
data:
  {source: image_folder, path: images, cache: kept/images.u8, train: 20, validation: 19, test: 6}
model: {in_channels: 3, sample_size: 8, factory: "own_models:good", arguments: {width: 16}}
augmentation: {translate: 0.2}
training: {batch_size: 16, images: 640, ema: [0.5, 0.99]}
evaluation: {features: pixels, samples: 32, steps: 4}
search:
  trials: 3
  space:
    regularization.residual_dropout: {low: 0.0, high: 0.5}
    augmentation.conditional: {choices: [true, false]}
objective: {metric: fd_pixels}
confirmation: null
halving: {variant: stop, first_rung: 160, reduction_factor: 2, controls: 1.0}
"""


def command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command, as a user types it."""
    program = Path(sys.executable).with_name("tune-diffreg")
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, timeout=240, check=False, cwd=cwd
    )


def test_a_model_and_images_of_ones_own_go_through_a_study(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    draw = torch.Generator().manual_seed(0)
    for number in range(45):
        image = torch.randint(0, 256, (3, 8, 8), generator=draw).to(torch.uint8)
        write_png(image, str(tmp_path / "images" / f"{number}.png"))
    (tmp_path / "own_models.py").write_text(SOURCE)
    (tmp_path / "own.yaml").write_text(STUDY)
    done = command("run", "own.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "runs" / "own" / "summary.json").read_text())
    assert summary["trials"]["complete"] == 3
    assert (tmp_path / "kept" / "images.u8").stat().st_size > 45 * 3 * 8 * 8
    best = summary["best"]["trial_id"]
    weights = load_file(tmp_path / "runs" / "own" / "trials" / best / "model.safetensors")
    assert weights["branch.1.weight"].shape == (16, 3, 3, 3)

    done = command("export", "own", "--output", "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    exported = load_file(tmp_path / "mine" / "pipeline" / "model.safetensors")
    assert all(torch.equal(exported[name], weights[name]) for name in weights)
    assert (tmp_path / "mine" / "pipeline" / "scheduler" / "scheduler_config.json").exists()
    refused = command("train", "mine/best.yaml", "--output", "again", cwd=tmp_path)
    assert refused.returncode == 2
    assert "names code to be run" in refused.stderr
    done = command("train", "mine/best.yaml", "--output", "again", "--trust", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "equal to the last bit" in done.stdout
