"""Places that cannot be written or do not answer: one sentence, and nothing is left behind."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import Command, tiny_study
from tests.production.test_handing_over import found
from tests.search.test_coordinator import coordinator, play
from tests.test_bad_input import sentence
from tune_diffreg.results import StudyFolder, read_journal, unfinished
from tune_diffreg.results.folder import REAL


@pytest.fixture
def best(tmp_path: Path) -> Path:
    """A best.yaml alone in its folder."""
    file = tmp_path / "best" / "best.yaml"
    file.parent.mkdir()
    content = found(tiny_study()).model_dump(mode="json", by_alias=True)
    file.write_text(yaml.safe_dump(content))
    return file


def test_a_narrow_study_that_cannot_be_written(best: Path, command: Command) -> None:
    output = best.parent / "no" / "such" / "narrow.yaml"
    status, printed = command("narrow", best, "--output", output)
    assert status == 2
    assert f"{output} cannot be written (No such file or directory)" in sentence(printed)


def test_a_training_whose_storage_is_a_file(best: Path, command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    given = ("train", best, "--output", tmp_path / "out", "--storage", tmp_path / "file")
    status, printed = command(*given)
    assert status == 2
    assert "file: is a file, and not a folder" in sentence(printed)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best", "file"]


def test_a_training_on_a_ray_that_does_not_answer(
    best: Path, command: Command, tmp_path: Path
) -> None:
    for address in ("127.0.0.1:9", "nowhere.invalid:1"):
        given = ("train", best, "--output", tmp_path / "out", "--storage", tmp_path / "runs")
        status, printed = command(*given, "--address", address)
        assert status == 2
        assert f"no Ray cluster at {address}" in sentence(printed)
        assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_a_report_of_pictures_that_are_none(tmp_path: Path, command: Command) -> None:
    study = tiny_study()
    play(coordinator(tmp_path, study), study)
    picture = StudyFolder(tmp_path, study.name).root / REAL
    picture.mkdir()
    status, printed = command("report", study.name, "--storage", tmp_path)
    assert status == 2
    assert "real.png: cannot be read (Is a directory)" in sentence(printed)
    picture.rmdir()
    picture.write_bytes(b"no picture")
    status, printed = command("report", study.name, "--storage", tmp_path)
    assert status == 2
    assert "real.png: is damaged" in sentence(printed)


def test_a_study_that_was_interrupted_after_its_last_trial_says_what_is_left(
    tmp_path: Path,
) -> None:
    study = tiny_study("confirmation={finalists: 1, seeds: 2}")
    subject = coordinator(tmp_path, study)
    play(subject, study)
    subject.close(finished=False)
    (told,) = unfinished(study, read_journal(StudyFolder(tmp_path, study.name).journal))
    assert told == "The search has ended and the confirmation has not, so this may change."
