"""What a command that ran on the cluster answered, and why one that did not, did not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import tiny_study
from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.jobs.answers import Answer, last_line
from tune_diffreg.results import StudyFolder


def there(*command: str) -> Answer:
    """What is printed for a laptop to read, amid what else a job's log holds."""
    done = subprocess.run(
        [sys.executable, "-m", "tune_diffreg.jobs.there", "mark:", *command],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("mark:")]
    return Answer(**json.loads(line.removeprefix("mark:")))


def test_what_a_command_prints_is_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_DIFFREG_STORAGE", str(tmp_path))
    StudyFolder(tmp_path, "digits").create(tiny_study())
    answer = there("list", "--json").require()
    assert [row["study"] for row in json.loads(answer.out)] == ["digits"]
    assert answer.storage == str(tmp_path)


def test_what_a_command_refuses_is_refused_here(tmp_path: Path) -> None:
    answer = there("status", "digits", "--storage", str(tmp_path))
    assert answer.status == 2
    with pytest.raises(InputError, match=r"^no study 'digits' in"):
        answer.require()


def test_what_fails_there_failed() -> None:
    with pytest.raises(WorkFailed, match=r"^disk full$"):
        Answer(1, "", "a warning\ntune-diffreg: disk full\n", None).require()


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("Runtime env is setting up.\ntune-diffreg: no images in /x\nbye\n", "no images in /x"),
        ("Running entrypoint ...\nsh: 1: python: not found\n", "sh: 1: python: not found"),
        ("", "it says nothing"),
    ],
)
def test_why_a_job_ended(log: str, reason: str) -> None:
    assert last_line(log) == reason
