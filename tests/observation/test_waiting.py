"""How many records wait for MLflow, from the files of a study alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg.observation.waiting import records_waiting
from tune_diffreg.results import StudyFolder, read_journal
from tune_diffreg.tracking.delivery import Delivery


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    study = tiny_study("search.trials=3")
    subject = coordinator(tmp_path, study)
    play(subject, study)
    return StudyFolder(tmp_path, study.name)


def test_all_wait_until_they_are_delivered(folder: StudyFolder) -> None:
    assert records_waiting(folder) == len(read_journal(folder.journal)) > 0
    Delivery(folder.read_study(), folder).deliver()
    assert records_waiting(folder) == 0
    with folder.journal.open("a") as journal:
        journal.write('{"event": "promote"}\n{"event": "being wri')
    assert records_waiting(folder) == 1


def test_a_study_that_has_not_begun_has_none(tmp_path: Path) -> None:
    assert records_waiting(StudyFolder(tmp_path, "digits")) == 0
