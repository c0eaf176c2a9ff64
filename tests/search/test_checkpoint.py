"""A checkpoint is whole or is not used; the one before it is there for that."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from tune_diffreg.search.checkpoint import (
    BEFORE,
    LATEST,
    load_checkpoint,
    remove_checkpoints,
    remove_leftovers,
    save_checkpoint,
)


def saved(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, {"step": step, "weights": torch.arange(1000.0)})


def step_of(folder: Path) -> int | None:
    state = load_checkpoint(folder)
    return None if state is None else state["step"]


def test_the_latest_is_used(tmp_path: Path) -> None:
    assert step_of(tmp_path / "none") is None
    saved(tmp_path, 1, 2, 3)
    assert step_of(tmp_path) == 3
    assert {path.name for path in tmp_path.iterdir()} == {LATEST, BEFORE}
    remove_checkpoints(tmp_path)
    remove_checkpoints(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", [0, 10, 2000, -40, -1])
def test_one_changed_byte_is_noticed_and_the_one_before_is_used(
    place: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    saved(tmp_path, 1, 2)
    content = bytearray((tmp_path / LATEST).read_bytes())
    content[place] ^= 1
    (tmp_path / LATEST).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert step_of(tmp_path) == 1
    assert f"{LATEST} cannot be used (its checksum is wrong)" in caplog.text
    # Nor does the next save put the damaged one in place of the whole one.
    assert {path.name for path in tmp_path.iterdir()} == {BEFORE}


@pytest.mark.parametrize("length", [0, 5, 500])
def test_a_file_cut_short_is_noticed(length: int, tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    (tmp_path / LATEST).write_bytes((tmp_path / LATEST).read_bytes()[:length])
    assert step_of(tmp_path) == 1
    (tmp_path / BEFORE).write_bytes(b"")
    assert step_of(tmp_path) is None


def test_nothing_but_tensors_and_numbers_is_read(tmp_path: Path) -> None:
    saved(tmp_path, 1)
    save_checkpoint(tmp_path, {"step": 2, "code": print})
    assert step_of(tmp_path) == 1


def test_between_two_renames_the_one_before_is_found(tmp_path: Path) -> None:
    saved(tmp_path, 1, 2)
    (tmp_path / LATEST).unlink()
    assert step_of(tmp_path) == 1


def test_what_a_killed_process_left_is_removed_and_what_is_needed_is_not(tmp_path: Path) -> None:
    ended, running = tmp_path / "trials" / "t0000", tmp_path / "trials" / "t0001"
    for folder in (ended, running):
        saved(folder, 1, 2)
        (folder / f".{LATEST}.17.tmp").write_bytes(b"half")
        (folder / "samples.png").touch()
    (tmp_path / ".trials.csv.17.tmp").touch()
    remove_leftovers(tmp_path, {"t0000"})
    assert {path.name for path in ended.iterdir()} == {"samples.png"}
    assert {path.name for path in running.iterdir()} == {"samples.png", LATEST, BEFORE}
    assert {path.name for path in tmp_path.iterdir()} == {"trials"}
