"""`evaluate`: any images against any real ones, with the code that scores trials."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
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
def test_an_export_scores_what_its_study_scored(finished: Path, tmp_path: Path) -> None:
    output = tmp_path / "best"
    assert run_cli("export", "digits", "--storage", finished, "--output", output).returncode == 0
    done = run_cli("evaluate", output, "--json")
    assert done.returncode == 0, done.stderr
    best = json.loads((finished / "digits" / "summary.json").read_text())["best"]
    found = json.loads(done.stdout)
    assert found["scores"]["fd_digits_cnn"] == pytest.approx(best["value"], rel=1e-9)
    assert found["scores"]["memorized_fraction"] == best["constraints"]["memorized_fraction"]
    damaged = next((output / "pipeline").rglob("*.safetensors"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    done = run_cli("evaluate", output)
    assert done.returncode == 2
    assert "is no pipeline of an unconditional U-Net" in done.stderr
