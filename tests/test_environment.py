"""What a cluster's nodes know from their environment: where studies lie and are tracked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command, tiny_study
from tune_diffreg.results import StudyFolder
from tune_diffreg.tracking import local_uri, study_place


def test_studies_lie_where_the_environment_says_unless_the_command_says_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("runs", "shared", "other"):
        StudyFolder(tmp_path / folder, folder).create(tiny_study(f"name={folder}"))

    def listed(*arguments: str) -> str:
        status, printed = command("list", *arguments)
        assert status == 0, printed
        return printed

    assert "runs" in listed()
    monkeypatch.setenv("TUNE_DIFFREG_STORAGE", str(tmp_path / "shared"))
    assert "shared" in listed() and "runs" not in listed()
    assert "other" in listed("--storage", str(tmp_path / "other"))


def test_a_study_is_tracked_where_its_file_says_then_its_environment_then_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert study_place(tiny_study(), tmp_path).uri == local_uri(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert study_place(tiny_study(), tmp_path).uri == "http://127.0.0.1:5000"
    in_the_file = tiny_study("tracking.uri=http://127.0.0.1:6000")
    assert study_place(in_the_file, tmp_path).uri == "http://127.0.0.1:6000"
