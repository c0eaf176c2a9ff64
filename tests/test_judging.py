"""`evaluate`: any images against any real ones, with the code that scores trials."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from torchvision.io import write_png

from tests.conftest import DIGITS, Command, run_cli
from tune_diffreg.data.digits import digits_pool


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Digits as a folder, as .npz files in each layout, and in colour."""
    pool = digits_pool()
    (tmp_path / "folder").mkdir()
    for number, image in enumerate(pool[:300]):
        write_png(image, str(tmp_path / "folder" / f"{number:03}.png"))
    some = pool[:300]
    np.savez(tmp_path / "last.npz", some.permute(0, 2, 3, 1).numpy())
    np.savez(tmp_path / "flat.npz", some[:, 0].numpy())
    np.savez(tmp_path / "first.npz", images=some.numpy())
    np.savez(tmp_path / "others.npz", pool[300:900].numpy())
    np.savez(tmp_path / "color.npz", some.expand(-1, 3, -1, -1).numpy())
    np.savez(tmp_path / "floats.npz", some.float().numpy())
    np.savez(tmp_path / "two.npz", a=some.numpy(), b=some.numpy())
    for name, kept in (("color", slice(None)), ("mixed", slice(1, None))):
        (tmp_path / name).mkdir()
        for number, image in enumerate(pool[:40]):
            color = image.expand(3, -1, -1).clone()
            color[:, :2] //= torch.tensor([1, 2, 3])[:, None, None].to(torch.uint8)
            stored = color if number in range(40)[kept] else image
            write_png(stored, str(tmp_path / name / f"{number:03}.png"))
    np.savez(tmp_path / "colors.npz", pool[:40].expand(-1, 3, -1, -1).numpy())
    np.savez(tmp_path / "same.npz", pool[:1].expand(30, -1, -1, -1).numpy())
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"PK no archive")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def scores(command: Command, *arguments: str) -> dict[str, float]:
    status, printed = command("evaluate", *arguments, "--json")
    assert status == 0, printed
    found: dict[str, float] = json.loads(printed)["scores"]
    return found


def test_every_kind_of_set_is_read_alike(command: Command, sets: Path) -> None:
    expected = scores(command, "folder", "--against", "digits")
    for other in ("last.npz", "flat.npz", "first.npz"):
        assert scores(command, str(sets / other), "--against", "digits") == expected
    assert "memorized_fraction" not in expected
    with_copies = scores(command, "folder", "--against", "others.npz", "--train", "folder",
                         "--features", "digits_cnn")  # fmt: skip
    assert with_copies["memorized_fraction"] == 1
    assert with_copies["mann_whitney_z"] < -10


@pytest.mark.usefixtures("sets")
def test_a_study_s_splits_are_taken_from_its_file(command: Command) -> None:
    found = scores(command, "folder", "--against", str(DIGITS))
    assert found["heldout_memorized_fraction"] < 0.02
    other = scores(command, "folder", "--against", str(DIGITS), "--split", "test")
    assert other["fd_digits_cnn"] != found["fd_digits_cnn"]


@pytest.mark.usefixtures("sets")
def test_a_folder_of_real_images_has_colours_if_any_image_has(command: Command) -> None:
    """Its first one may be gray, and stored so."""
    found = scores(command, "color", "--against", "mixed", "--features", "pixels")
    assert found["fd_pixels"] > 0
    found = scores(command, "folder", "--against", "folder", "--features", "pixels")
    assert found["fd_pixels"] == pytest.approx(0, abs=1e-6)


def test_training_images_that_are_there_twice_are_counted(command: Command, sets: Path) -> None:
    pool = digits_pool()
    np.savez(sets / "doubled.npz", torch.cat([pool[:100], pool[:60], pool[900:903]]).numpy())
    np.savez(sets / "held.npz", torch.cat([pool[300:600], pool[900:903]]).numpy())
    arguments = ("folder", "--against", "held.npz", "--train", "doubled.npz",
                 "--features", "digits_cnn")  # fmt: skip
    status, printed = command("evaluate", *arguments, "--json")
    assert status == 0, printed
    found = json.loads(printed)
    assert (found["duplicates"], found["near_copies"]) == (60, 3)
    status, printed = command("evaluate", *arguments)
    told = " ".join(printed.split())
    assert "doubles among the training images, which count once: 60" in told
    assert "near-copies of training images among the real ones: 3" in told


@pytest.fixture
def pipeline(tmp_path: Path) -> Callable[..., str]:
    """Makes an untrained pipeline of digits, with other arguments of its U-Net."""

    def make(**arguments: Any) -> str:
        usual = {"sample_size": 8, "in_channels": 1, "out_channels": 1, "norm_num_groups": 4,
                 "block_out_channels": (8, 8), "layers_per_block": 1,
                 "down_block_types": ("DownBlock2D", "DownBlock2D"),
                 "up_block_types": ("UpBlock2D", "UpBlock2D")}  # fmt: skip
        model = UNet2DModel(**{**usual, **arguments})
        made = DDPMPipeline(unet=model, scheduler=DDPMScheduler())
        made.save_pretrained(tmp_path / "pipeline of mine")
        return str(tmp_path / "pipeline of mine")

    return make


@pytest.mark.parametrize(
    ("arguments", "asked", "sentence"),
    [
        ({}, ["--steps", "5000"], "has 1,000 timesteps"),
        ({"num_class_embeds": 10}, [], "its U-Net wants to be told a class"),
        ({"out_channels": 2}, [], "returns 2 channels for 1"),
        ({"sample_size": None}, [], "does not say how large images are"),
        ({"sample_size": 8.0}, [], "sample_size one or two, found 1 and 8.0"),
        ({"sample_size": [8]}, [], "sample_size one or two, found 1 and [8]"),
        ({"sample_size": True}, [], "sample_size one or two, found 1 and True"),
        ({"sample_size": 16}, [], "generates images of 1x16x16, but those of the reference are"),
        ({"in_channels": 3, "out_channels": 3}, [], "generates images of 3x8x8"),
    ],
)
def test_a_pipeline_that_cannot_generate_is_one_sentence(
    command: Command, pipeline: Callable[..., str], arguments: dict[str, Any], asked: list[str],
    sentence: str,
) -> None:  # fmt: skip
    folder = pipeline(**arguments)
    status, printed = command("evaluate", folder, "--against", "digits", "--samples", "10", *asked)
    assert status == 2, printed
    assert sentence in printed.splitlines()[-1]
    assert "Traceback" not in printed


def test_a_pipeline_is_scored_with_what_its_spacing_can_take(
    command: Command, pipeline: Callable[..., str]
) -> None:
    folder, asked = pipeline(), ("--against", "digits", "--samples", "20")
    for steps in ("2", "61"):
        assert scores(command, folder, *asked, "--steps", steps)["fd_digits_cnn"] > 0
    file = Path(folder) / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"timestep_spacing": "trailing"}))
    status, printed = command("evaluate", folder, *asked, "--steps", "61")
    assert status == 2
    assert "--steps 61: cannot be spread over 1,000 timesteps" in printed


@pytest.mark.parametrize(
    ("file", "changes", "sentence"),
    [
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "x"}, "number of at most"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 999.5}, "number of at most"),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10**10}, "number of at most"),
        ("scheduler/scheduler_config.json", {"trained_betas": ["x"]}, "is no pipeline of"),
        ("scheduler/scheduler_config.json", {"prediction_type": 3}, "generating images of 1x8x8"),
        ("scheduler/scheduler_config.json", {"clip_sample_range": "x"}, "generating images of"),
        ("unet/config.json", {"sample_size": {"a": 1}}, "found 1 and {'a': 1}"),
        ("unet/config.json", {"sample_size": [8, 8, 8]}, "found 1 and [8, 8, 8]"),
        ("unet/config.json", {"in_channels": "1"}, "is no pipeline of"),
        ("unet/config.json", {"layers_per_block": 10**9}, "layers_per_block must be a whole"),
        ("unet/config.json", {"block_out_channels": [8192, 8192]}, "weights, more than are"),
    ],
)
def test_a_pipeline_that_says_what_cannot_be_is_one_sentence(
    command: Command, pipeline: Callable[..., str], file: str, changes: dict[str, Any],
    sentence: str,
) -> None:  # fmt: skip
    folder = pipeline()
    path = Path(folder) / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    status, printed = command("evaluate", folder, "--against", "digits", "--samples", "10")
    assert status == 2, printed
    assert sentence in printed.splitlines()[-1]
    assert "Traceback" not in printed


@pytest.mark.usefixtures("sets")
def test_a_table_says_what_was_held_against_what(command: Command) -> None:
    status, printed = command("evaluate", "folder", "--against", "digits", "--samples", "50")
    assert status == 0
    assert "50 images against 1,197 real ones; ± is one standard error" in printed
    assert "not Inception" in printed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere", "--against", "digits"], "nowhere is not a folder"),
        (["folder"], "only an export knows its own"),
        (["empty", "--against", "digits"], "no images (.png"),
        (["broken.npz", "--against", "digits"], "is not an .npz file that can be read"),
        (["gone.npz", "--against", "digits"], "there is no such file"),
        (["two.npz", "--against", "digits"], "holds 2 arrays"),
        (["floats.npz", "--against", "digits"], "holds float32 (300, 1, 8, 8); images are uint8"),
        (["color.npz", "--against", "digits"], "the images are 3x8x8, but those of the reference"),
        (["color", "--against", "digits"], "000.png has colours, but the images of the reference"),
        (
            ["folder", "--against", "colors.npz", "--features", "pixels"],
            "000.png is stored as gray, but the images of the reference have colours",
        ),
        (["same.npz", "--against", "digits"], "same.npz: all 30 images are equal"),
        (
            ["color", "--against", "color", "--features", "digits_cnn"],
            "takes digits of 1x8x8, but the images are 3x8x8",
        ),
        (
            ["folder", "--against", "digits", "--features", "my.module:inception"],
            "scores bear the function's name",
        ),
        (["folder", "--against", "digits", "--samples", "301"], "there are 300 images"),
        (["folder", "--against", "digits", "--features", "x"], "--features: input should be"),
        (["folder", "--against", "digits", "--weights", "x"], "takes no 'weights'"),
        (["folder", "--against", "folder"], "the weights are not at"),
        (["folder", "--against", "absent.yaml"], "there is no such file"),
        (["folder", "--against", "digits", "--features", "a:b"], "a cannot be imported"),
        (
            ["folder", "--against", "folder", "--size", "16", "--features", "pixels"],
            "000.png is 8 x 8 pixels, but the images of the reference are 16 x 16",
        ),
        (
            ["folder", "--against", "folder", "--train", "color.npz", "--features", "pixels"],
            "--train: the images are 3x8x8, but the real ones are 1x8x8",
        ),
        (
            ["folder", "--against", str(DIGITS), "--train", "color.npz"],
            "--train: the images are 3x8x8, but the real ones are 1x8x8",
        ),
        (
            ["folder", "--against", "folder", "--size", "100000", "--features", "pixels"],
            "300 images of 100000 x 100000 take 9,000.0 GB, more than the",
        ),
    ],
)
def test_what_cannot_be_judged_is_one_sentence(
    command: Command, sets: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str],
    sentence: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(sets / "hub"))
    status, printed = command("evaluate", *arguments)
    assert (status, printed.count("\n")) == (2, 1), printed
    assert sentence in printed


@pytest.mark.slow
def test_an_export_scores_what_its_study_scored(
    finished: Path, tmp_path: Path, command: Command
) -> None:
    output = tmp_path / "best"
    status, _ = command("export", "digits", "--storage", finished, "--output", output)
    assert status == 0
    done = run_cli("evaluate", output, "--json")
    assert done.returncode == 0, done.stderr
    best = json.loads((finished / "digits" / "summary.json").read_text())["best"]
    found = json.loads(done.stdout)
    assert found["scores"]["fd_digits_cnn"] == pytest.approx(best["value"], rel=1e-9)
    assert found["scores"]["memorized_fraction"] == best["constraints"]["memorized_fraction"]
    damaged = next((output / "pipeline").rglob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    status, printed = command("evaluate", output)
    assert status == 2
    assert "weights, more than are beside it" in printed
