"""A storage that cannot be written for a while: nothing is lost, nothing is written in part."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import optuna_trials, tiny_study
from tests.search.test_coordinator import play
from tune_diffreg.patience import PAUSE_SECONDS, Patience, StorageLost
from tune_diffreg.results import Journal, StudyFolder, read_journal
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.search.storage import open_storage

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
PASSING = [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO, errno.ESTALE]


class Waiting:
    """A patience whose seconds pass at once, and what it said."""

    def __init__(self, seconds: float = 600.0) -> None:
        self.now = 0.0
        self.said: list[str] = []
        self.patience = Patience(seconds, self.said.append, lambda: self.now, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds


def failing(times: int, error: OSError) -> Callable[[], str]:
    """Something to write that fails so many times."""
    left = iter(range(times))

    def write() -> str:
        if next(left, None) is not None:
            raise error
        return "written"

    return write


@pytest.mark.parametrize("number", PASSING)
def test_what_may_pass_is_waited_for_and_said_once(number: int) -> None:
    subject = Waiting()
    reason = os.strerror(number)
    assert subject.patience(failing(5, OSError(number, reason))) == "written"
    assert subject.now == 5 * PAUSE_SECONDS
    assert subject.said == [
        f"The storage cannot be written ({reason}); waiting for it, at most 10:00",
        "The storage can be written again",
    ]


def test_storage_elsewhere_that_does_not_answer_is_waited_for() -> None:
    subject = Waiting()
    assert subject.patience(failing(1, OSError("AWS Error NETWORK_CONNECTION\nmore"))) == "written"
    assert "(AWS Error NETWORK_CONNECTION)" in subject.said[0]


def test_what_does_not_pass_is_not_waited_for() -> None:
    subject = Waiting()
    with pytest.raises(FileExistsError):
        subject.patience(failing(1, FileExistsError(errno.EEXIST, "in the way")))
    assert not subject.said
    assert subject.now == 0


def test_patience_is_bounded_and_what_is_lost_stays_lost() -> None:
    subject = Waiting(30.0)
    with pytest.raises(StorageLost, match=r"could not be written for 0:30 \(No space left"):
        subject.patience(failing(1000, FULL))
    assert 30 <= subject.now <= 31
    with pytest.raises(StorageLost, match="for 0:30"):
        subject.patience(failing(1, FULL))
    assert 30 <= subject.now <= 31
    assert len(subject.said) == 1
    assert subject.patience(failing(0, FULL)) == "written"  # last words may still be


def test_each_who_waits_has_a_time_of_its_own() -> None:
    """The journal may fit where a checkpoint does not."""
    subject = Waiting(30.0)
    subject.patience.waits("t0000", "full")
    for _ in range(3):
        subject.now += 10
        subject.patience(failing(0, FULL))
    subject.patience.waits("t0001", "full")
    with pytest.raises(StorageLost):
        subject.patience.waits("t0000", "full")
    assert len(subject.said) == 1


def test_after_an_interrupt_nobody_waits() -> None:
    subject = Waiting()
    subject.patience.end()
    with pytest.raises(StorageLost):
        subject.patience(failing(1, FULL))
    assert subject.now == 0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Room left on the disk at each write to come, in bytes; when used up, there is room.

    A write takes what there is room for, and the next fails. A negative number is a disk that
    takes all and fails in `fsync`.
    """
    rooms: list[int] = []
    write, fsync = os.write, os.fsync
    full = False

    def bounded(file: int, content: bytes) -> int:
        nonlocal full
        if full:
            full = False
            raise FULL
        if not rooms or rooms[0] < 0 or rooms[0] >= len(content):
            return write(file, content)
        full = True
        return write(file, memoryview(content)[: rooms.pop(0)])

    def unsure(file: int) -> None:
        if rooms and rooms.pop(0) < 0:
            raise OSError(errno.EIO, "Input/output error")
        fsync(file)

    monkeypatch.setattr(os, "write", bounded)
    monkeypatch.setattr(os, "fsync", unsure)
    yield rooms


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(st.lists(st.integers(-1, 60), max_size=4), min_size=1, max_size=6))
def test_a_journal_has_each_line_once_and_whole(
    tmp_path_factory: pytest.TempPathFactory, disk: list[int], troubles: list[list[int]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    journal = Journal(path, Waiting().patience)
    written = []
    for number, rooms in enumerate(troubles):
        disk[:] = rooms
        written.append(journal.append("note", number=number))
        disk.clear()
    assert read_journal(path) == written
    assert path.read_bytes().count(b"\n") == len(written)


def test_a_line_that_was_given_up_in_part_is_cut_before_the_next(
    tmp_path: Path, disk: list[int]
) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, Waiting(2.0).patience)
    first = journal.append("first")
    disk[:] = [5, 5, 5, 5, 5]
    with pytest.raises(StorageLost):
        journal.append("second")
    disk.clear()
    assert not path.read_bytes().endswith(b"\n")
    assert read_journal(path) == [first]
    third = journal.append("third")
    assert read_journal(path) == [first, third]


def test_a_journal_that_went_away_is_not_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "mount" / "journal.jsonl"
    path.parent.mkdir()
    waiting = Waiting(3.0)
    journal = Journal(path, waiting.patience)
    journal.append("first")
    path.parent.rename(tmp_path / "elsewhere")
    path.parent.mkdir()  # where it was mounted
    with pytest.raises(StorageLost, match="No such file"):
        journal.append("second")
    assert not path.exists()


@pytest.mark.parametrize("room", [0, 10, -1])
def test_optunas_file_has_each_operation_once_and_whole(
    tmp_path: Path, disk: list[int], room: int
) -> None:
    path = tmp_path / "optuna.jsonl"
    study = optuna.create_study(storage=open_storage(path, Waiting().patience))
    for _ in range(4):
        disk[:] = [room, room]
        trial = study.ask()
        disk[:] = [room, room]
        trial.suggest_float("x", 0, 1)
        disk[:] = [room]
        study.tell(trial, 1.0)
        disk.clear()
    for line in path.read_bytes().splitlines():
        json.loads(line)
    assert [(t.number, t.value) for t in optuna_trials(tmp_path)] == [(n, 1.0) for n in range(4)]


def test_a_search_on_a_disk_that_fills_again_and_again_ends_as_on_any_other(
    tmp_path: Path, disk: list[int]
) -> None:
    study = tiny_study("halving.variant=promote")

    def searched(storage: Path, every: int) -> tuple[object, object]:
        folder = StudyFolder(storage, study.name)
        folder.create(study)
        folder.journal.touch()
        waiting = Waiting()

        def fill(_: object) -> None:
            if every:
                disk[:] = [len(folder.journal.read_bytes()) % every - 1]

        subject = Coordinator(
            study, folder, fill, patiently=waiting.patience,
            open_proposals=lambda *of: Proposals(*of, patiently=waiting.patience),
        )  # fmt: skip
        subject.begin({})
        play(subject, study)
        subject.close(subject.finished)
        disk.clear()
        assert bool(waiting.said) == bool(every)
        told = [(t.number, t.state, t.params, t.value) for t in optuna_trials(folder.root)]
        return subject.records, told

    assert searched(tmp_path / "full", 40) == searched(tmp_path / "straight", 0)
