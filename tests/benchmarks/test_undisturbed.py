"""What a drill is held against is of the same code."""

from __future__ import annotations

from pathlib import Path

import pytest

import tune_diffreg
from benchmarks.drills import undisturbed as made
from benchmarks.drills.scene import NAME
from tests.conftest import tiny_study
from tune_diffreg.results import Journal, StudyFolder


def test_an_undisturbed_run_is_kept_for_the_code_that_made_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def make(storage: Path, _: tuple[str, ...]) -> None:
        folder = StudyFolder(storage, NAME)
        folder.create(tiny_study())
        Journal(folder.journal).append("session", provenance={})
        (storage / "ended_at.json").write_text("9e9")

    monkeypatch.setattr(made, "_make", make)
    first = made.undisturbed(tmp_path, ("a",)).storage
    assert made.undisturbed(tmp_path, ("a",)).storage == first
    assert made.undisturbed(tmp_path, ("b",)).storage != first
    code = tmp_path / "other" / "__init__.py"
    code.parent.mkdir()
    code.write_text("# is other code")
    monkeypatch.setattr(tune_diffreg, "__file__", str(code))
    assert made.undisturbed(tmp_path, ("a",)).storage != first
