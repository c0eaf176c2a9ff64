"""Stop and logs of a study that a process on this machine runs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.conftest import Command, run_cli, tiny_study
from tests.test_bad_input import sentence
from tests.test_faults import LONG, records, reports, start, wait_for
from tune_diffreg.results import Journal, StudyFolder
from tune_diffreg.study import Study

HOLDS = """
import signal, sys
from pathlib import Path
from tune_diffreg.results import StudyFolder
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
with StudyFolder(Path(sys.argv[1]), "digits").lock():
    print("holds", flush=True)
    while not asked:
        signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """A study that has begun."""
    made = StudyFolder(tmp_path, "digits")
    made.create(tiny_study())
    journal = Journal(made.journal)
    journal.append("session", provenance={})
    journal.append(
        "start", trial="t0000", values={}, baseline="unregularized", control=False, proposal=None
    )
    return made


def test_stop_asks_the_process_that_runs_it_and_waits(
    command: Command, folder: StudyFolder
) -> None:
    runs = [sys.executable, "-c", HOLDS, str(folder.storage)]
    with subprocess.Popen(runs, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "holds\n"
        status, printed = command("stop", "digits", "--storage", folder.storage)
        assert running.wait(10) == 0
    assert status == 0, printed
    assert "digits: stopped. Nothing is lost." in printed
    assert f"resume digits --storage {folder.storage}" in printed


def test_a_study_that_does_not_run_cannot_be_stopped(command: Command, folder: StudyFolder) -> None:
    status, printed = command("stop", "digits", "--storage", folder.storage)
    assert status == 2
    assert "study 'digits' does not run; it is interrupted" in sentence(printed)


def test_a_study_of_another_machine_is_not_stopped_here(
    command: Command, folder: StudyFolder
) -> None:
    with folder.lock():
        (folder.root / ".lock").write_text("elsewhere 1")
        status, printed = command("stop", "digits", "--storage", folder.storage)
    assert status == 2
    assert "is run by process 1 on elsewhere; stop it there" in sentence(printed)


@pytest.mark.parametrize("says", ["", "one", "host pid", "host 0", "host -1", "host " + "9" * 30])
def test_a_lock_that_does_not_say_who_holds_it_is_one_sentence(
    command: Command, folder: StudyFolder, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_diffreg.jobs.local._SAYS_WHO_SECONDS", 0.0)
    with folder.lock():
        (folder.root / ".lock").write_text(says)
        status, printed = command("stop", "digits", "--storage", folder.storage)
    assert status == 2
    assert "is being run, and its lock does not say by which process" in sentence(printed)


def test_who_has_just_begun_is_not_taken_for_who_ran_it_before(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.root / ".lock").write_text("elsewhere 1")
    seen = []
    monkeypatch.setattr("tune_diffreg.files.check_writable", lambda _: seen.append(folder.holder()))
    with folder.lock():
        assert folder.holder() is not None
    assert seen == [None]


def test_a_study_that_is_gone_on_with_here_says_what_came_of_it_as_data(
    command: Command, folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(study: Study, storage: Path, console: Console, address: str | None) -> int:
        assert (study.name, storage, address) == ("digits", folder.storage, None)
        assert console.stderr  # so that what is printed is nothing but data
        return 130

    monkeypatch.setattr("tune_diffreg.service.run_study", run)
    status, printed = command("resume", "digits", "--storage", folder.storage, "--json")
    assert status == 130
    told = json.loads(printed)
    assert (told["study"], told["state"], told["trials"]["total"]) == ("digits", "interrupted", 1)


@pytest.mark.slow
def test_a_study_is_stopped_and_its_logs_end(tmp_path: Path) -> None:
    running = start(tmp_path, *LONG)
    wait_for(tmp_path, lambda events: reports(events) >= 1)
    command = [sys.executable, "-m", "tune_diffreg", "logs", "digits", "--follow"]
    following = subprocess.Popen(
        [*command, "--storage", str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    done = run_cli("stop", "digits", "--storage", tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "interrupted"
    screen, _ = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGINT, screen
    assert any(not record.ended for record in records(tmp_path).values())
    said, _ = following.communicate(timeout=60)
    assert said.splitlines()[-1].endswith("the session ends")
