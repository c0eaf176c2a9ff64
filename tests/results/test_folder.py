"""The folder of a study: who may write what, and never half of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import Command, tiny_study
from tests.test_bad_input import sentence
from tune_diffreg.errors import InputError
from tune_diffreg.files import write_atomically
from tune_diffreg.results import StudyFolder, list_studies, open_study


def test_a_write_that_fails_leaves_the_old_file_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomically(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new" * 1000)
    assert path.read_text() == "old"


def test_the_same_study_is_opened_again_and_another_refused(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "digits")
    folder.create(tiny_study())
    folder.create(tiny_study())
    with pytest.raises(InputError, match="made from another file"):
        folder.create(tiny_study("search.seed=1"))
    assert folder.read_study() == tiny_study()


def test_a_copy_under_another_name_is_not_taken_for_the_study_that_it_is_of(
    command: Command, tmp_path: Path
) -> None:
    StudyFolder(tmp_path, "digits").create(tiny_study())
    shutil.copytree(tmp_path / "digits", tmp_path / "digits2")
    for verb in ("resume", "status", "stop", "sync", "report"):
        status, printed = command(verb, "digits2", "--storage", tmp_path)
        assert status == 2
        assert "digits2 holds a study 'digits', not 'digits2'" in sentence(printed)


def test_one_process_at_a_time_runs_a_study(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path, "digits")
    folder.create(tiny_study())
    with folder.lock():
        assert folder.is_locked()
        with pytest.raises(InputError, match="another process"), folder.lock():
            pass
    assert not folder.is_locked()


def test_studies_are_listed_by_name_and_a_wrong_name_gets_a_hint(tmp_path: Path) -> None:
    for name in ("pens", "digits"):
        StudyFolder(tmp_path, name).create(tiny_study(f"name={name}"))
    (tmp_path / "something else").mkdir()
    assert [folder.name for folder in list_studies(tmp_path)] == ["digits", "pens"]
    with pytest.raises(InputError, match="did you mean 'digits'"):
        open_study(tmp_path, "digit")
    assert list_studies(tmp_path / "absent") == []
