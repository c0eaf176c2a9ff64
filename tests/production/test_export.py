"""Exports and reports: elsewhere, of an interrupted study, where nothing is feasible, of damage."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import Command, run_cli
from tests.test_faults import start, wait_for
from tune_diffreg.results import read_best

pytestmark = pytest.mark.slow

# What anybody who has diffusers would type.
PLAIN = """
import importlib.util, sys
import numpy, torch
from diffusers import DDPMPipeline
assert importlib.util.find_spec("tune_diffreg") is None
pipeline = DDPMPipeline.from_pretrained(sys.argv[1])
pipeline.set_progress_bar_config(disable=True)
torch.set_num_threads(1)
generators = [torch.Generator().manual_seed(seed) for seed in range(16)]
images = pipeline(batch_size=16, generator=generators, num_inference_steps=4).images
numpy.save(sys.argv[2], numpy.stack([numpy.asarray(image) for image in images]))
"""
IMPOSSIBLE = ["objective.constraints={train_loss: {max: 0.0}}", "search.trials=3",
              "training.images=2560", "halving.first_rung=1280"]  # fmt: skip


def cut(sheet: Path, count: int, side: int) -> np.ndarray:
    """The first images of a sheet, eight in a row, enlarged to 32 pixels, lines of 2 between."""
    pixels = np.asarray(Image.open(sheet).convert("L"))
    corners = [(2 + 34 * (i // 8), 2 + 34 * (i % 8)) for i in range(count)]
    return np.stack([pixels[y : y + 32 : 32 // side, x : x + 32 : 32 // side] for y, x in corners])


def test_an_export_gives_the_same_images_where_tune_diffreg_is_not_installed(
    finished: Path, tmp_path: Path
) -> None:
    output = tmp_path / "best"
    done = run_cli("export", "digits", "--output", output, "--storage", finished)
    assert done.returncode == 0, done.stderr

    venv.create(tmp_path / "elsewhere", with_pip=False)
    library = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    # All that is installed here, save what was installed to be edited, as tune-diffreg is.
    others = tmp_path / "elsewhere" / library / "others.pth"
    others.write_text(sysconfig.get_path("purelib"))
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    python = tmp_path / "elsewhere" / "bin" / "python"
    subprocess.run(
        [python, "-c", PLAIN, output / "pipeline", tmp_path / "theirs.npy"],
        check=True, cwd=tmp_path, env=environment, timeout=120,
    )  # fmt: skip

    # The trial's own first samples, as it drew them when it was scored.
    ours = cut(output / "samples.png", 16, 8)
    assert np.array_equal(np.load(tmp_path / "theirs.npy"), ours)
    assert ours.std() > 10  # and they show something


def test_an_interrupted_study_in_which_nothing_is_feasible(
    tmp_path: Path, command: Command
) -> None:
    def tells(*arguments: str | Path) -> str:
        status, printed = command(*arguments, "--storage", tmp_path)
        assert status == 0, printed
        return printed

    running = start(tmp_path, *IMPOSSIBLE)
    wait_for(tmp_path, lambda events: any(e.get("state") == "complete" for e in events))
    running.send_signal(signal.SIGINT)
    screen, _ = running.communicate(timeout=60)
    assert running.returncode == 130, screen
    summary = json.loads((tmp_path / "digits" / "summary.json").read_text())
    assert (summary["state"], summary["best"]["feasible"]) == ("interrupted", False)
    for name in ("halfway", "whole"):
        (tmp_path / "digits" / "report.html").unlink()
        tells("report", "digits")
        page = (tmp_path / "digits" / "report.html").read_text()
        assert "met the constraints" in page
        assert ("has not ended" in page) == (name == "halfway")
        said = tells("export", "digits", "--output", tmp_path / name)
        assert "It breaks a constraint" in said
        assert ("has not ended" in said) == (name == "halfway")
        best = read_best(tmp_path / name / "best.yaml")
        assert not best.result.feasible
        assert best.confirmation is None
        assert "It breaks a constraint" in (tmp_path / name / "README.md").read_text()
        if name == "halfway":
            done = run_cli("resume", "digits", "--storage", tmp_path)
            assert done.returncode == 0, done.stderr
            assert "No trial of full length met the constraints" in done.stdout


@pytest.mark.parametrize(
    "damage",
    [
        ("trials/{best}/model.safetensors", b"\x08", "model.safetensors: cannot be used"),
        ("trials/{best}/model.safetensors", None, "model.safetensors: cannot be used"),
        ("journal.jsonl", None, "journal.jsonl"),
        ("journal.jsonl", b"no event\n" * 3, "journal is damaged"),
        ("study.yaml", b"\xff", "study.yaml"),
        ("trials/{best}/samples.png", b"no picture", "samples.png: is damaged"),
    ],
)
def test_a_damaged_folder_is_refused(
    finished: Path, tmp_path: Path, command: Command, damage: tuple[str, bytes | None, str]
) -> None:
    file, content, said = damage
    shutil.copytree(finished / "digits", tmp_path / "digits")
    best = read_best(tmp_path / "digits" / "best.yaml").trial_id
    damaged = tmp_path / "digits" / file.format(best=best)
    damaged.unlink()
    if content is not None:
        damaged.write_bytes(content)
    status, printed = command(
        "export", "digits", "--output", tmp_path / "out", "--storage", tmp_path
    )
    assert status == 2
    assert said in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digits"]


def test_what_is_exported_follows_the_journal(
    finished: Path, tmp_path: Path, command: Command
) -> None:
    """A study that was killed has not written its results, or those of an earlier session."""
    for left in (None, b"schema: 1"):
        storage = tmp_path / str(left)
        shutil.copytree(finished / "digits", storage / "digits")
        best = read_best(storage / "digits" / "best.yaml")
        (storage / "digits" / "best.yaml").unlink()
        if left is not None:
            (storage / "digits" / "best.yaml").write_bytes(left)
        (storage / "digits" / "summary.json").unlink()
        output = storage / "out"
        status, printed = command("export", "digits", "--output", output, "--storage", storage)
        assert status == 0, printed
        assert read_best(output / "best.yaml") == best
        status, printed = command("compare", "digits", output, "--storage", storage)
        assert (status, "differ" in printed) == (0, False), printed


def test_a_report_of_a_damaged_folder_is_refused(
    finished: Path, tmp_path: Path, command: Command
) -> None:
    for missing in ("study.yaml", "journal.jsonl", "summary.json"):
        shutil.copytree(finished / "digits", tmp_path / missing / "digits")
        (tmp_path / missing / "digits" / missing).unlink()
        status, printed = command("report", "digits", "--storage", tmp_path / missing)
        assert (status, printed.count("\n")) == ((0, 1) if missing == "summary.json" else (2, 1))
