"""Files of a trial that were damaged where they lay are not exported, whatever bit it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, load_file, save

from tests.conftest import Command, tiny_study
from tests.search.test_coordinator import coordinator, play
from tests.test_bad_input import sentence
from tune_diffreg.diffusion.model import build_model
from tune_diffreg.results import StudyFolder
from tune_diffreg.results.folder import SAMPLES
from tune_diffreg.search.sheets import save_sheet
from tune_diffreg.search.trial import MODEL
from tune_diffreg.search.weights import save_weights
from tune_diffreg.study import Study


def full_study(storage: Path, study: Study) -> None:
    """A study that nothing was trained in, all of whose trials have files."""
    subject = coordinator(storage, study)
    play(subject, study)
    state = build_model(study.model, seed=7).state_dict()
    noise = torch.randint(0, 256, (64, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    for trial in subject.records:
        folder = StudyFolder(storage, study.name).trial(trial)
        folder.mkdir(parents=True)
        save_weights(folder / MODEL, state)
        save_sheet(noise.to(torch.uint8), folder / SAMPLES)


Export = Callable[[Callable[[bytearray], bytes | bytearray], str], tuple[int, str]]


@pytest.fixture
def exported(tmp_path: Path, command: Command) -> Export:
    """Exports to `out` after one kind of file was changed in all trials."""
    study = tiny_study()
    full_study(tmp_path, study)

    def run(change: Callable[[bytearray], bytes | bytearray], name: str) -> tuple[int, str]:
        for file in (tmp_path / study.name / "trials").glob(f"*/{name}"):
            file.write_bytes(change(bytearray(file.read_bytes())))
        output = tmp_path / "out"
        status, printed = command("export", study.name, "--storage", tmp_path, "--output", output)
        assert output.exists() == (status == 0), printed
        return status, printed

    return run


def flipped(place: int) -> Callable[[bytearray], bytearray]:
    def change(content: bytearray) -> bytearray:
        content[place] ^= 4
        return content

    return change


def test_weights_with_another_bit_are_not_exported(exported: Export, tmp_path: Path) -> None:
    status, printed = exported(flipped(-1000), MODEL)
    assert status == 2
    assert "model.safetensors: cannot be used (its checksum is wrong)" in sentence(printed)
    file = next(tmp_path.glob("*/trials/*/model.safetensors"))
    assert all(tensor.isfinite().all() for tensor in load_file(file).values())  # so it is no other


def by_an_earlier_version(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[..., bytes]:
    """Weights without a checksum, each changed."""
    return lambda content: save({name: change(each) for name, each in load(bytes(content)).items()})


def test_weights_by_an_earlier_version_are_exported(exported: Export) -> None:
    status, printed = exported(by_an_earlier_version(torch.clone), MODEL)
    assert status == 0, printed


def test_weights_that_are_no_numbers_are_not_exported(exported: Export) -> None:
    status, printed = exported(by_an_earlier_version(lambda each: each / 0), MODEL)
    assert status == 2
    assert "holds what is no number" in sentence(printed)


def test_weights_that_are_gone_are_not_exported(exported: Export, tmp_path: Path) -> None:
    for file in tmp_path.glob("*/trials/*/model.safetensors"):
        file.unlink()
    status, printed = exported(bytes, MODEL)
    assert status == 2
    assert "model.safetensors: cannot be used" in sentence(printed)


@pytest.mark.parametrize("place", [-100, 60, 17])
def test_a_picture_with_another_bit_is_not_exported(exported: Export, place: int) -> None:
    status, printed = exported(flipped(place), SAMPLES)
    assert status == 2
    assert "samples.png: is damaged" in sentence(printed)


def test_half_a_picture_is_not_exported(exported: Export) -> None:
    status, printed = exported(lambda content: content[: len(content) // 2], SAMPLES)
    assert status == 2
    assert "samples.png: is damaged" in sentence(printed)


def test_what_is_whole_is_exported(exported: Export) -> None:
    status, printed = exported(bytes, "*")
    assert status == 0, printed
