"""What goes wrong around trials, without Ray: deaths, hangs, a storage that is lost."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, scores
from tests.test_patience import Waiting
from tune_diffreg.search.conductor import MOST_RESTARTS, Conductor, Death
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.study import Study

SLICE = {"images": 32, "seconds": 1.0, "machine": "one", "exits": False, "waiting": None}


class Stage:
    """A conductor over a real coordinator, on a clock of its own."""

    def __init__(self, tmp_path: Path, *overrides: str) -> None:
        self.study: Study = tiny_study("search.baselines={}", *overrides)
        self.director: Coordinator = coordinator(tmp_path, self.study)
        self.told: list[Mapping[str, Any]] = []
        self.director.listener = self.told.append
        self.now = 0.0
        self.waiting = Waiting()
        self.death = Death.PROCESS
        self.conductor = Conductor(
            self.director,
            self.waiting.patience,
            self.study.resources,
            lambda _: self.death,
            lambda: self.now,
        )

    def start(self) -> str:
        """A trial that has a process."""
        assignment = self.conductor.next_trial()
        assert assignment is not None
        self.conductor.began(assignment.trial_id, "actor")
        return assignment.trial_id

    def slice(self, trial: str, **content: Any) -> bool:
        return self.conductor.result(trial, {**SLICE, **content})

    def rung(self, trial: str, images: int, value: float = 50.0) -> bool:
        flat = {f"scores/{name}": score for name, score in scores(value).items()}
        return self.slice(trial, images=images, rung=images, **flat)

    def watch(self, seconds: float) -> list[str]:
        """Looks all the time for so long."""
        found = []
        for _ in range(round(seconds)):
            self.now += 1
            found += self.conductor.overdue()
        return found

    def state(self, trial: str) -> tuple[str, str | None]:
        record = self.director.records[trial]
        return record.state, record.reason


def test_a_trial_whose_process_dies_goes_on_and_fails_at_the_third_time(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    first = stage.start()
    for _ in range(MOST_RESTARTS):
        stage.conductor.died(first)
        assert stage.told[-1] == {"event": "again", "trial": first, "reason": "its process died"}
        assert stage.start() == first  # before any other
    stage.conductor.died(first)
    assert stage.state(first) == ("failed", "its process died, 3 times in a row")
    assert stage.start() != first


def test_deaths_before_a_rung_are_forgotten_after_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "halving=null")
    first = stage.start()
    for rung in (320, 640):
        for _ in range(MOST_RESTARTS):
            stage.conductor.died(first)
            assert stage.start() == first
        stage.rung(first, rung)
    assert stage.director.records[first].state != "failed"


def test_a_trial_that_ended_before_its_process_died_has_ended(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "halving=null")
    first = stage.start()
    assert not stage.rung(first, 1280)
    stage.conductor.died(first)
    assert stage.state(first) == ("complete", None)
    assert stage.start() != first


def test_nothing_begins_while_a_trial_stops_which_may_be_promoted_at_once(tmp_path: Path) -> None:
    """Its end would be taken for that of its successor, whose results would then be nobody's."""
    stage = Stage(tmp_path, "search.trials=2", "halving.controls=0")
    first, second = stage.start(), stage.start()
    assert not stage.rung(first, 320, value=10.0)
    stage.conductor.stopped(first)
    assert not stage.rung(second, 320, value=90.0)
    assert stage.conductor.next_trial() is None
    assert len(stage.conductor) == 1
    stage.conductor.stopped(second)
    assert stage.start() == first  # promoted
    assert stage.slice(first, images=352)


def test_a_trial_that_takes_too_long_for_a_rung_goes_on_elsewhere_and_fails_the_third_time(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, "resources.rung_seconds=60", "halving=null", "training.images=1280")
    slow = stage.start()
    assert stage.watch(50) == []
    assert stage.slice(slow, images=32)  # alive, but slow
    assert stage.watch(20) == [slow]
    stage.conductor.died(slow)
    said = "it took longer than 1:00 for a rung (resources.rung_seconds)"
    assert stage.told[-1] == {"event": "again", "trial": slow, "reason": said}
    for _ in range(MOST_RESTARTS):
        assert stage.start() == slow
        assert slow in stage.watch(61)
        stage.conductor.died(slow)
    assert stage.state(slow) == ("failed", f"{said}, 3 times in a row")


def test_each_rung_has_its_own_time(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path, "resources.rung_seconds=60", "halving.variant=stop", "halving.controls=1"
    )
    first = stage.start()
    for rung in (320, 640):
        assert stage.watch(50) == []
        assert stage.rung(first, rung)


def test_silence_beyond_the_limit_is_a_hang_and_any_result_a_sign_of_life(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "resources.hang_seconds=60")
    quiet, lively = stage.start(), stage.start()
    for _ in range(12):
        assert stage.watch(5) == []
        stage.slice(lively)
    assert stage.watch(2) == [quiet]
    stage.conductor.died(quiet)
    assert stage.told[-1]["reason"] == ("it gave no sign of life for 1:00 (resources.hang_seconds)")
    # It is handed out again, and fails if that does not help.
    for _ in range(MOST_RESTARTS):
        assert stage.start() == quiet
        assert quiet in stage.watch(61)
        stage.conductor.died(quiet)
    assert stage.state(quiet) == (
        "failed", "it gave no sign of life for 1:00 (resources.hang_seconds), 3 times in a row"
    )  # fmt: skip


def test_a_trial_that_hangs_does_not_do_so_for_ever(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    hangs = stage.start()
    assert stage.watch(21_600) == []
    assert stage.watch(1) == [hangs]


def test_a_trial_that_waits_for_a_machine_or_for_a_busy_driver_does_not_hang(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path, "resources.hang_seconds=60")
    waiting = stage.conductor.next_trial()
    assert waiting is not None
    assert stage.watch(200) == []
    stage.conductor.began(waiting.trial_id, "actor")
    stage.now += 3600  # the driver was held up
    assert stage.watch(30) == []
    assert stage.watch(40) == [waiting.trial_id]


def test_without_a_limit_nothing_hangs(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "resources.hang_seconds=null")
    stage.start()
    assert stage.watch(30_000) == []


def test_a_storage_that_is_lost_ends_the_session_and_fails_no_trial(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    first, second = stage.start(), stage.start()
    assert stage.slice(second, waiting="No space left on device")
    assert stage.slice(first)
    stage.waiting.now += 601
    assert not stage.slice(second, waiting="No space left on device")
    assert stage.conductor.over
    assert not stage.rung(first, 320)  # a decision that could not be written down is not made
    stage.conductor.died(first)
    stage.conductor.stopped(second)
    assert len(stage.conductor) == 0
    assert stage.conductor.next_trial() is None
    assert {record.state for record in stage.director.records.values()} == {"running"}
    assert stage.director.records[first].reports == []


def test_a_journal_that_cannot_be_written_for_good_stops_all_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(tmp_path)
    stage.director.journal._patiently = stage.waiting.patience
    first, second = stage.start(), stage.start()

    def broken(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tune_diffreg.results.journal.append_durably", broken)
    assert not stage.rung(first, 320)
    assert stage.waiting.now >= 600
    assert not stage.slice(second)
    assert str(stage.waiting.patience.lost) == (
        "The storage could not be written for 10:00 (Read-only file system)."
    )
    assert {record.state for record in stage.director.records.values()} == {"running"}


def test_machines_that_go_away_do_not_count_however_many(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.death = Death.MACHINE
    first = stage.start()
    for _ in range(3 * MOST_RESTARTS):
        stage.conductor.died(first)
        assert stage.told[-1]["reason"] == "its machine went away"
        assert stage.start() == first


@pytest.mark.parametrize("later", [Death.MACHINE, Death.PROCESS, Death.UNKNOWN])
def test_a_death_of_unknown_cause_counts_once_it_is_known_not_to_be_the_machines(
    tmp_path: Path, later: Death
) -> None:
    stage = Stage(tmp_path)
    first = stage.start()
    for _ in range(MOST_RESTARTS):
        stage.death = Death.UNKNOWN
        stage.conductor.died(first)
        assert stage.start() == first
        stage.conductor.settle()
        stage.death = later
        stage.watch(61)
        stage.conductor.settle()
    stage.death = Death.PROCESS
    stage.conductor.died(first)
    failed = later is not Death.MACHINE
    assert stage.state(first)[0] == ("failed" if failed else "running")


def test_a_trial_that_is_called_away_leaves_once_and_it_does_not_count(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    first, second = stage.start(), stage.start()
    stage.slice(first)
    stage.slice(second, machine="other")
    for _ in range(2 * MOST_RESTARTS):
        assert stage.conductor.called_away(["one"]) == [first]
        assert stage.conductor.called_away(["one"]) == []
        assert stage.slice(first, exits=True)
        stage.conductor.died(first)
        assert stage.told[-1]["reason"] == "its machine is being taken away"
        assert stage.start() == first
        stage.slice(first)
    assert stage.state(second)[0] == "running"


def test_the_process_of_a_trial_that_took_too_much_memory_ends_with_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    first = stage.start()
    assert stage.slice(first, failure="needed more than ...", exits=True)
    assert stage.state(first) == ("failed", "needed more than ...")
    stage.conductor.died(first)
    assert stage.state(first) == ("failed", "needed more than ...")
    assert len(stage.conductor) == 0
    assert stage.start() != first
