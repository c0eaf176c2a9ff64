"""Bad input: one sentence, exit status 2, nothing started, nothing overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.io import write_png

from tests.conftest import DIGITS, TINY, Command, run_cli, tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg import __version__
from tune_diffreg.results import StudyFolder


def settings(*overrides: str) -> list[str]:
    return [part for text in (*TINY, *overrides) for part in ("--set", text)]


def sentence(printed: str) -> str:
    """What was printed, after checking that it is a single sentence to a person."""
    assert printed.startswith("tune-diffreg: "), printed
    assert printed.count("\n") == 1, printed
    assert "Traceback" not in printed
    return printed


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("rnu study.yaml", "no such command 'rnu'. Did you mean 'run'; see `tune-diffreg --help`"),
        ("run", "missing argument 'STUDY'; see `tune-diffreg run --help`"),
        ("run study.yaml --storag x", "no such option: --storag"),
        ("export digits", "missing option '--output'"),
        ("ui --port many", "invalid value for '--port'"),
        ("best digits pens", "unexpected extra argument"),
        ("list --json=3", "does not take a value"),
    ],
)
def test_a_command_that_is_mistyped(typed: str, expected: str, command: Command) -> None:
    status, printed = command(*typed.split())
    assert status == 2
    assert expected in sentence(printed)


def test_help_and_version(command: Command) -> None:
    for typed, wanted in ((), 2), (("--help",), 0), (("run", "--help"), 0):
        status, printed = command(*typed)
        assert (status, printed.startswith("Usage: tune-diffreg")) == (wanted, True)
    assert command("--version") == (0, f"tune-diffreg {__version__}\n")


@pytest.mark.parametrize("verb", ["run", "check"])
@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("trainng.images=3", "there is no such setting"),
        ("training.batch_size=many", "must be a whole number"),
        ("regularization.residual_dropout=7", "should be less than 1"),
        ("search.space={optimizer.clip_norm: {low: 2, high: 1}}", "low 2 is above high 1"),
        (
            "search.space={optimizer.clip: {low: 1, high: 2}}",
            "a trial has no single setting 'optimizer.clip'",
        ),
        ("search.space={optimizer.clip_norm: {choices: [a]}}", "must be a number"),
        ("search.space={}", "search.space is empty"),
        ("data.train=2000", "the splits need 2,320 images"),
        ("data.validation=1", "scores need 6 held-out images; there are 1"),
        ("search.warm_start=nowhere", "nowhere is neither the folder of a study"),
        ("nonsense", "write it as key=value"),
        ("resources.gpu=1", "a trial needs 1 CPU cores and 1 GPUs, more than this machine has"),
        ("resources.cpu=1000", "a trial needs 1000 CPU cores"),
        ("training.ema=[]", "training.ema: is an empty list; give one decay or several"),
        ("training.ema=[0.9, 1.5]", "each decay must be at least 0 and below 1, found 1.5"),
        ("training.ema=[0.9, 0.9]", "the decays must differ"),
        ("training.batch_size=2000", "training.batch_size 2000 is more than the first rung has"),
        (
            "search.space={augmentation.hue: {low: 0, high: 0.1}}",
            "search.space.augmentation.hue has no effect without images in colour",
        ),
        (
            "search.space={augmentation.conditional: {choices: [true, false]}}",
            "augmentation.conditional has no effect without augmentation",
        ),
        (
            "objective={metric: validation_loss}",
            "validation_loss does not compare trials that differ in diffusion.schedule.name",
        ),
        ("training.precision=half", "should be 'auto', 'fp32' or 'bf16', found 'half'"),
        ("data.cache=x.u8", "source 'digits' is in memory anyway and takes no 'cache'"),
        ("augmentation.rotate=200", "less than or equal to 180, found 200"),
        (
            "model={in_channels: 1, sample_size: 8, factory: 'no_models:net'}",
            "model.factory no_models:net: no_models cannot be imported",
        ),
        (
            "model={in_channels: 1, sample_size: 8, factory: net}",
            "factory must be 'package.module:function', found 'net'",
        ),
        ("model.sample_size=9", "sample_size 9 cannot be halved"),
    ],
)
def test_a_mistake_in_the_settings(
    command: Command, tmp_path: Path, verb: str, override: str, expected: str
) -> None:
    storage = ["--storage", tmp_path / "runs"] if verb == "run" else []
    status, printed = command(verb, DIGITS, *settings(override), *storage)
    assert status == 2
    assert expected in sentence(printed)
    assert not (tmp_path / "runs").exists()


def test_a_test_split_that_is_too_small_is_seen_before_the_search(
    command: Command, tmp_path: Path
) -> None:
    confirmed = settings("data.test=3", "confirmation={finalists: 1, seeds: 2}")
    status, printed = command("run", DIGITS, *confirmed, "--storage", tmp_path / "runs")
    assert status == 2
    assert "data.test: confirmation needs 6 test images; there are 3" in sentence(printed)
    assert not (tmp_path / "runs" / "digits").exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "there is no such file"),
        ("a: [", "is not valid YAML: line 1"),
        ("", "must consist of"),
    ],
)
def test_a_file_that_is_missing_or_broken(
    command: Command, tmp_path: Path, content: str | None, expected: str
) -> None:
    path = tmp_path / "study.yaml"
    if content is not None:
        path.write_text(content)
    status, printed = command("run", path, "--storage", tmp_path / "runs")
    assert status == 2
    assert expected in sentence(printed)
    assert not (tmp_path / "runs").exists()


def folder_settings(path: Path) -> list[str]:
    return settings(
        f"data={{source: image_folder, path: {path}, train: 2, validation: 6, test: 2}}",
        "evaluation.features=pixels",
        "objective={metric: fd_pixels}",
    )


def test_a_folder_without_images_or_with_a_bad_one(command: Command, tmp_path: Path) -> None:
    images = tmp_path / "images"
    runs = tmp_path / "runs"
    for prepare, expected in [
        (lambda: None, "is not a folder"),
        (images.mkdir, "no images (.png"),
        (lambda: write_images(images, 9), "the splits need 10 images"),
        (lambda: (images / "x.png").write_bytes(b"no"), "1 of 10 images in"),
    ]:
        prepare()
        status, printed = command("run", DIGITS, *folder_settings(images), "--storage", runs)
        assert status == 2
        assert expected in sentence(printed)
        assert not runs.exists()


def write_images(folder: Path, count: int) -> None:
    for index in range(count):
        image = torch.randint(0, 256, (1, 12, 10), dtype=torch.uint8)
        write_png(image, str(folder / f"{index}.png"))


def test_good_images_pass_the_same_check(command: Command, tmp_path: Path) -> None:
    write_images(tmp_path, 10)
    status, printed = command("check", DIGITS, *folder_settings(tmp_path))
    assert status == 0, printed


def test_a_batch_that_is_larger_than_the_data_is_said(command: Command) -> None:
    status, printed = command("check", DIGITS, "--set", "training.batch_size=40")
    assert status == 0
    assert "note: training.batch_size 40 is more than the 32 training images" in printed


def test_a_storage_that_cannot_be_written(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    status, printed = command("run", DIGITS, *settings(), "--storage", tmp_path / "file")
    assert status == 2
    assert "is a file, and not a folder" in sentence(printed)
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_study_that_another_process_runs(command: Command, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "digits")
    folder.create(tiny_study())
    with folder.lock():
        status, printed = command("run", DIGITS, *settings(), "--storage", tmp_path)
    assert status == 2
    assert "is being run by another process" in sentence(printed)


def test_a_cluster_that_does_not_answer(tmp_path: Path) -> None:
    done = run_cli("run", DIGITS, *settings(), "--storage", tmp_path, "--address", "127.0.0.1:1")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no Ray cluster at 127.0.0.1:1" in sentence(done.stderr)


@pytest.mark.parametrize("verb", ["resume", "status", "best", "report"])
def test_a_name_that_no_study_has(command: Command, tmp_path: Path, verb: str) -> None:
    status, printed = command(verb, "digits", "--storage", tmp_path)
    assert status == 2
    assert "no study 'digits' in" in sentence(printed)


def test_no_studies_at_all(command: Command, tmp_path: Path) -> None:
    status, printed = command("list", "--storage", tmp_path)
    assert status == 0
    assert "no studies in" in printed
    status, printed = command("ui", "--storage", tmp_path)
    assert status == 2
    assert "nothing has been tracked" in sentence(printed)


def test_an_export_before_any_trial_is_complete(command: Command, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "digits")
    folder.create(tiny_study())
    folder.journal.touch()
    output = tmp_path / "best"
    status, printed = command("export", "digits", "--output", output, "--storage", tmp_path)
    assert status == 2
    assert "has no trial of full length yet" in sentence(printed)
    assert not output.exists()


def test_the_best_before_any_trial_is_complete_is_who_leads(
    command: Command, tmp_path: Path
) -> None:
    study = tiny_study("search.baselines={}", "halving.controls=0.0")
    play(coordinator(tmp_path, study), study, stop_after=4)
    status, printed = command("best", study.name, "--storage", tmp_path)
    assert status == 2
    assert "yet; t0001 leads at 640 images: FD 69.0, memorised 0.0%" in sentence(printed)


@pytest.mark.parametrize("content", ["schema: 1\n", "schema: 7\nstudy: x\n", "[", "config: 5\n"])
def test_a_best_file_that_is_none(command: Command, tmp_path: Path, content: str) -> None:
    path = tmp_path / "best.yaml"
    path.write_text(content)
    status, printed = command("train", path)
    assert status == 2
    assert "best.yaml" in sentence(printed)
    assert not (tmp_path / "trained").exists()


def test_a_damaged_journal(command: Command, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "digits")
    folder.create(tiny_study())
    folder.journal.write_text('{"event": "session", "time": 1}\nnot json\n')
    for verb in ("status", "best", "resume", "report"):
        status, printed = command(verb, "digits", "--storage", tmp_path)
        assert status == 2
        assert "the study's journal is damaged at byte" in sentence(printed)


def test_a_study_file_of_a_study_that_was_damaged(command: Command, tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "digits")
    folder.create(tiny_study())
    folder.study.write_text("name: digits\n")
    status, printed = command("status", "digits", "--storage", tmp_path)
    assert status == 2
    assert "this setting is required" in sentence(printed)
