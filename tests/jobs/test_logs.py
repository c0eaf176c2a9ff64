"""What a study has said: here or on a cluster, for people or as data, as it is or as it grows."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, tiny_study
from tests.test_bad_input import sentence
from tune_diffreg.jobs import answers, logs
from tune_diffreg.jobs.client import StudyJob
from tune_diffreg.jobs.lines import Lines
from tune_diffreg.results import StudyFolder

LINES = [
    {"time": "2026-01-02T03:04:05.678Z", "level": "info", "message": "a session begins"},
    {"time": "2026-01-02T03:04:06.000Z", "level": "warning", "trial": "t0001",
     "message": "failed: loss became nan"},
    {"time": "2026-01-02T03:04:07.000Z", "level": "info", "message": "\x1b[31mred\x9b2J\n"},
]  # fmt: skip
TEXT = "".join(f"{json.dumps(line)}\n" for line in LINES)


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    made = StudyFolder(tmp_path, "digits")
    made.create(tiny_study())
    made.log.write_text(f'{TEXT}dam\x1b[2Jaged\n{{"time": tor')
    return made


def test_logs_are_for_people_or_as_they_are(command: Command, folder: StudyFolder) -> None:
    asked = ["logs", "digits", "--storage", folder.storage]
    status, printed = command(*asked, "--follow")  # nobody runs it, so nothing is waited for
    assert status == 0
    first, second, third, fourth = printed.splitlines()
    assert first.endswith(":05  a session begins")
    assert second.endswith(":06  WARNING t0001 failed: loss became nan")
    assert third.endswith(r":07  \x1b[31mred\x9b2J\n"), "a terminal would obey"
    assert fourth == r"dam\x1b[2Jaged"
    assert command(*asked, "--json") == (0, f"{TEXT}dam\x1b[2Jaged\n")


@pytest.mark.parametrize(
    "line",
    [
        '{"time": "2026-01-02T03:04:05Z", "level": 5, "message": "m"}',
        '{"time": "0001-01-01T00:00:00Z", "level": "info", "message": "m"}',
    ],
)
def test_a_line_that_is_damaged_in_other_ways_is_shown_as_it_is(line: str) -> None:
    assert "m" in logs.as_text(line)


def test_a_line_that_comes_in_pieces_is_passed_on_whole() -> None:
    seen: list[str] = []
    lines = Lines(seen.append)
    for piece in ("a", "b\nc", "", "\n\nd"):
        lines(piece)
    assert seen == ["ab\n", "c\n", "\n"]
    lines.end()
    lines.end()
    assert seen == ["ab\n", "c\n", "\n", "d"]


class Head:
    """A cluster that runs what it is given as a process of this machine, at once."""

    printed = "Runtime env is setting up.\n"

    def __init__(self, address: str) -> None:
        self.address = address
        self.gone: list[str] = []

    def jobs(self, study: str | None = None) -> list[StudyJob]:
        del study
        return [StudyJob("digits", "/own", 1, status="running")]

    def submit(self, id_: str, entrypoint: str, shipped: Path | None) -> None:
        del id_, shipped
        command = entrypoint.removeprefix("exec ").replace(" python ", f" {sys.executable} ", 1)
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
        self.printed += done.stdout

    def log(self, id_: str) -> str:
        del id_
        return self.printed

    def follow(self, id_: str, write: Callable[[str], Any]) -> None:
        del id_
        for piece in _pieces(self.printed):
            write(piece)

    def stop(self, id_: str) -> None:
        self.gone.append(id_)

    def wait(self, *_: Any) -> str:
        return "succeeded"

    def forget(self, id_: str) -> None:
        self.gone.append(id_)


def _pieces(text: str) -> Iterator[str]:
    for begin in range(0, len(text), 7):
        yield text[begin : begin + 7]


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "Cluster", Head)


THERE = ["--address", "http://here"]


@pytest.mark.usefixtures("head")
def test_a_log_on_a_cluster_is_followed_as_data(command: Command, folder: StudyFolder) -> None:
    asked = ["logs", "digits", *THERE, "--json", "--follow", "--storage", folder.storage]
    assert command(*asked) == (0, f"{TEXT}dam\x1b[2Jaged\n")


@pytest.mark.usefixtures("head")
def test_what_is_refused_there_is_one_sentence_here(command: Command, tmp_path: Path) -> None:
    asked = ["logs", "digits", *THERE, "--json", "--follow", "--storage", tmp_path]
    status, printed = command(*asked)
    assert status == 2
    assert "no study 'digits' in" in sentence(printed)


@pytest.mark.usefixtures("head")
@pytest.mark.parametrize("options", [[], ["--follow"]])
def test_what_a_job_printed_is_shown_without_what_a_terminal_obeys(
    command: Command, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setattr(Head, "printed", "a\tINFO\n\x1b[31mred\nno end")
    status, printed = command("logs", "digits", *THERE, *options)
    assert (status, printed) == (0, "a\tINFO\n\\x1b[31mred\nno end")


def test_the_job_that_followed_is_gone_when_one_looks_no_longer() -> None:
    class Interrupted(Head):
        def submit(self, *_: Any) -> None:
            """Nothing."""

        def follow(self, *_: Any) -> None:
            raise KeyboardInterrupt

    cluster: Any = Interrupted("http://here")
    with pytest.raises(KeyboardInterrupt):
        answers.follow_answer(cluster, ["logs", "digits", "--follow"], print)
    assert len(cluster.gone) == 2


def test_a_log_elsewhere_is_asked_for_every_ten_seconds(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time is a request for every piece of it."""
    fetched, slept = list[Path](), list[float]()

    class Elsewhere:
        def fetch_growth(self, path: Path) -> None:
            fetched.append(path)

    monkeypatch.setattr(logs, "mirror_of", lambda _: Elsewhere())
    monkeypatch.setattr(logs.time, "sleep", slept.append)
    monkeypatch.setattr(StudyFolder, "is_locked", lambda _: len(fetched) < 3)
    monkeypatch.setattr(StudyFolder, "is_written", lambda _: False)
    assert len(list(logs.log_lines(folder, follow=True))) == 4
    assert slept == [10.0] * 3
    assert len(fetched) == 4


def test_where_the_study_is_written_its_log_is_not_replaced(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its driver would go on writing to a file that is no more."""
    monkeypatch.setattr(logs, "mirror_of", lambda _: object())
    monkeypatch.setattr(StudyFolder, "is_written", lambda _: True)
    assert len(list(logs.log_lines(folder, follow=False))) == 4
