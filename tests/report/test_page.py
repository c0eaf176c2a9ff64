"""The report of a study that was stopped half way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg.report import write_report
from tune_diffreg.results import StudyFolder, read_journal, read_state, replay


@pytest.mark.parametrize("variant", ["stop", "promote"])
def test_a_search_stopped_anywhere_has_a_report(tmp_path: Path, variant: str) -> None:
    study = tiny_study("search.baselines={}", f"halving.variant={variant}")
    floor = {"value": 3.78, "images": 80, "measured": 60}
    states = set[str]()
    for reports in range(8):
        storage = tmp_path / str(reports)
        begun = coordinator(storage, study)
        play(begun, study, stop_after=reports)
        folder = StudyFolder(storage, study.name)
        write_report(folder)  # as of a study begun before what real images score was noted
        assert "real images score" not in folder.report.read_text()
        assert read_state(folder)["floor"] is None
        begun.begin({}, floor)
        write_report(folder)
        assert "80 real images score FD about 3.780." in folder.report.read_text()
        assert read_state(folder)["floor"] == floor
        records = replay(read_journal(folder.journal)).values()
        shown = {record.state for record in records if record.reports}
        page = folder.report.read_text()
        assert all(f'"name":"{state}"' in page for state in shown)
        states |= shown
    assert states >= {"running", "paused" if variant == "promote" else "pruned", "complete"}
