"""What lists studies: one that is damaged hides no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Command, tiny_study
from tune_diffreg.results import StudyFolder, list_studies, open_study
from tune_diffreg.results.journal import Journal


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Three damaged studies, and one between them that is not."""
    for name in ("bad-file", "copied", "digits", "folder-for-journal"):
        folder = StudyFolder(tmp_path, name)
        folder.create(tiny_study(f"name={name}"))
        if name == "folder-for-journal":
            folder.journal.mkdir()
        else:
            Journal(folder.journal).append("session", provenance={})
    (tmp_path / "bad-file" / "study.yaml").write_text("name: [\x1b[31m")
    (tmp_path / "copied" / "study.yaml").write_bytes((tmp_path / "digits/study.yaml").read_bytes())
    return tmp_path


def test_a_damaged_study_is_a_sentence_beside_the_others(command: Command, storage: Path) -> None:
    status, printed = command("list", "--storage", storage)
    assert status == 0, printed
    assert "│ digits │ interrupted" in printed
    *_, first, second, third = printed.splitlines()
    assert first.startswith("bad-file: damaged: ")
    assert "is not valid YAML" in first
    assert second.startswith("copied: damaged: ")
    assert "holds a study 'digits', not 'copied'" in second
    assert third.startswith("folder-for-journal: damaged: ")
    assert "journal.jsonl: is a folder" in third
    assert "\x1b" not in printed


def test_scripts_see_it_as_a_row(command: Command, storage: Path) -> None:
    status, printed = command("list", "--storage", storage, "--json")
    assert status == 0
    states = {row["study"]: row["state"] for row in json.loads(printed)}
    assert states == {
        "bad-file": "damaged", "copied": "damaged", "digits": "interrupted",
        "folder-for-journal": "damaged",
    }  # fmt: skip


def test_a_journal_that_is_a_folder_is_one_sentence(command: Command, storage: Path) -> None:
    status, printed = command("status", "folder-for-journal", "--storage", storage)
    assert status == 2
    assert "journal.jsonl: is a folder, and the study's journal should be there" in printed


@pytest.mark.parametrize("name", ["..", ".", "../digits", "", "a\nb"])
def test_what_can_be_no_name_opens_nothing(command: Command, storage: Path, name: str) -> None:
    within = storage / "digits"
    assert list_studies(within) == []
    status, printed = command("status", name, "--storage", within)
    assert status == 2
    assert "no study" in printed
    assert open_study(storage, "digits").name == "digits"
