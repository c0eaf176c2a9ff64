"""What trials share is prepared where it is fast, and handed on as it has to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.conftest import tiny_study
from tune_diffreg.evaluation.digits_cnn import DigitsFeatures
from tune_diffreg.notes import data_notes
from tune_diffreg.search.preparation import prepare
from tune_diffreg.search.trial import load_materials


def test_a_gpu_that_is_there_computes_the_reference_and_is_left_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a CPU Inception takes most of an hour for the held-out images of a large study."""
    seen: list[str] = []
    original = DigitsFeatures.__call__

    def call(self: DigitsFeatures, images: torch.Tensor) -> torch.Tensor:
        seen.append("features")
        return original(self, images)

    monkeypatch.setattr(DigitsFeatures, "to", lambda _, device: seen.append(device.type))
    monkeypatch.setattr(DigitsFeatures, "__call__", call)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append("emptied"))
    load_materials(tiny_study(), threads=1)
    assert seen == ["features"]
    seen.clear()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    load_materials(tiny_study(), threads=1)
    assert seen == ["cuda", "features", "cpu", "emptied"]


@pytest.mark.parametrize(("space", "images"), [("pixels", 160), ("features", 192)])
def test_one_sees_how_far_the_reference_is(space: str, images: int, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    study = tiny_study(f"evaluation.neighbors={space}")
    for _ in "ab":  # the second time it is read
        load_materials(
            study, 1, references=tmp_path, measuring=lambda done, total: told.append((done, total))
        )
    assert told[-1] == (images, images)
    assert len(told) == (1 if space == "pixels" else 2)


def test_near_copies_of_training_images_are_looked_for_in_every_held_out_split() -> None:
    study = tiny_study()
    found = prepare(study)
    assert found.near_copies == {"validation": 0}  # nothing is confirmed, on no test split
    assert not data_notes(study, found)
    confirmed = tiny_study("confirmation={finalists: 2, seeds: 2}", "data.test=940")
    assert prepare(confirmed).near_copies == {"validation": 0, "test": 1}  # by chance


def test_what_was_found_in_the_splits_is_told_with_what_it_does() -> None:
    found = replace(
        prepare(tiny_study()),
        duplicates={"train": 1200, "validation": 0, "test": 3},
        near_copies={"validation": 4, "test": 0},
    )
    assert data_notes(tiny_study(), found) == [
        "doubles in the train split: 1,200; they count once where copies are looked for, but a "
        "model sees them more often and copies them sooner",
        "images of the test split that are in an earlier one too: 3",
        "near-copies of training images in the validation split: 4; they make memorisation look "
        "like generalisation",
    ]
