"""A confirmation on real Ray whose driver is killed ends as one that nothing happened to."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.conftest import run_cli
from tests.test_faults import actors, children, journal, wait_for
from tune_diffreg.results import open_study, read_journal, repetitions
from tune_diffreg.results.journal import Event

pytestmark = [pytest.mark.slow, pytest.mark.drill, pytest.mark.timeout(600)]


def repeated(events: list[Event]) -> int:
    return sum(event["event"] == "repeated" for event in events)


def test_a_confirmation_whose_driver_is_killed_ends_as_one_that_was_not(
    confirmed: Path, tmp_path: Path
) -> None:
    storage = shutil.copytree(confirmed, tmp_path / "runs")
    straight = json.loads((storage / "digits" / "summary.json").read_text())["confirmation"]
    begun = next(i for i, event in enumerate(journal(storage)) if event["event"] == "repeat")
    path = storage / "digits" / "journal.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:begun]))
    for made in ("summary.json", "best.yaml", "report.html"):
        (storage / "digits" / made).unlink()

    command = [sys.executable, "-m", "tune_diffreg", "resume", "digits", "--storage", str(storage)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(storage, lambda events: repeated(events) >= 2)
    orphans = actors(running)
    running.kill()
    running.wait()
    psutil.wait_procs(orphans, timeout=60)
    known = journal(storage)
    assert repeated(known) < 8

    done = run_cli("resume", "digits", "--storage", storage)
    assert done.returncode == 0, done.stdout + done.stderr
    events = read_journal(open_study(storage, "digits").journal)
    assert events[: len(known)] == known
    assert [run.state for run in repetitions(events).values()] == ["complete"] * repeated(events)
    assert repeated(events) == 8
    assert json.loads((storage / "digits" / "summary.json").read_text())["confirmation"] == straight
    assert len(children(storage)) == 5 + 8
