"""What is known of running trials, from the events of a search alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import tiny_study
from tests.terminal.test_display import ended, reported, started
from tune_diffreg.observation.live import Live, LiveTrial
from tune_diffreg.observation.pulse import WINDOW_SECONDS, Pulse
from tune_diffreg.results import replay
from tune_diffreg.results.journal import Event
from tune_diffreg.terminal.board import Board

STUDY = tiny_study()


def progress(trial: str, images: int, **seen: Any) -> Event:
    return {"event": "progress", "trial": trial, "images": images, **seen}


class Watched:
    """A pulse and the clock that it is told."""

    def __init__(self, *before: Event) -> None:
        self.now = 1000.0
        self.pulse = Pulse(Board(STUDY, replay(before), {}), self.now)

    def after(self, seconds: float, *events: Event) -> None:
        self.now += seconds
        for event in events:
            self.pulse.note(event, self.now)

    def live(self) -> Live:
        return self.pulse.snapshot("running", 3, 1.7e9, self.now)

    def trial(self, name: str) -> LiveTrial:
        (found,) = (trial for trial in self.live().running if trial.trial == name)
        return found


def test_a_trial_has_begun_with_its_first_sign_of_life() -> None:
    study = Watched()
    study.after(0, started("t0000", "unregularized"))
    assert not study.trial("t0000").begun
    study.after(5, progress("t0000", 100, hostname="node-a", pid=7, images_per_second=40.5, cpu=0.9,
                            device="1", gpu=0.8))  # fmt: skip
    study.after(2)
    assert study.trial("t0000") == LiveTrial(
        trial="t0000", images=100, silent_s=2.0, images_per_second=40.5, host="node-a", pid=7,
        cpu=0.9, device="1", gpu=0.8,
    )  # fmt: skip


def test_a_trial_that_ends_or_pauses_no_longer_runs() -> None:
    study = Watched()
    for trial in ("t0000", "t0001", "t0002"):
        study.after(1, started(trial), progress(trial, 10))
    study.after(1, reported("t0001", 320, 9.0, "pause"), ended("t0002", "failed", "full"))
    live = study.live()
    assert [trial.trial for trial in live.running] == ["t0000"]
    assert live.trials == {
        "running": 1, "paused": 1, "complete": 0, "pruned": 0, "failed": 1, "planned": 8,
    }  # fmt: skip
    study.after(1, {"event": "promote", "trial": "t0001"})
    assert not study.trial("t0001").begun


def test_images_a_second_are_those_of_all_trials_in_the_last_minute() -> None:
    study = Watched()
    study.after(0, started("t0000"), started("t0001"))
    study.after(10, progress("t0000", 100), progress("t0001", 300))
    assert study.live().images_per_second == 40.0
    study.after(10, progress("t0000", 200))
    assert study.live().images_per_second == 25.0
    study.after(WINDOW_SECONDS - 5, progress("t0000", 800))
    assert study.live().images_per_second == round(700 / WINDOW_SECONDS, 1)
    study.after(WINDOW_SECONDS + 1)
    assert study.live().images_per_second == 0.0


def test_images_seen_in_an_earlier_session_or_before_a_promotion_are_not_counted_again() -> None:
    study = Watched(
        started("t0000"), reported("t0000", 320, 9.0),  # was running when it stopped
        started("t0001"), reported("t0001", 320, 9.0, "pause"),
    )  # fmt: skip
    study.after(10, {"event": "promote", "trial": "t0001"})
    study.after(10, progress("t0000", 400), progress("t0001", 400))
    assert study.live().images_per_second == (400 - 320) / 20
    study.after(0, progress("t0000", 600))
    assert study.live().images_per_second == (200 + 80) / 20


def test_a_process_that_ended_before_its_time_is_a_restart_and_no_pause() -> None:
    study = Watched()
    study.after(0, started("t0000"), progress("t0000", 100))
    study.after(4, progress("t0000", 200))
    study.after(1, {"event": "again", "trial": "t0000", "reason": "SIGKILL"})
    assert not study.trial("t0000").begun
    assert study.trial("t0000").restarts == 1
    study.after(100, progress("t0000", 150))  # from its checkpoint
    assert study.live().longest_pause_s == 4.0
    study.after(10, progress("t0000", 250))
    assert study.live().longest_pause_s == 10.0
    assert study.live().images_per_second == pytest.approx(100 / 60, abs=0.05)


def test_repetitions_of_confirmation_run_too() -> None:
    study = Watched(started("t0000"), reported("t0000", 1280, 9.0, "complete"),
                    ended("t0000", "complete"))  # fmt: skip
    study.after(0, {"event": "repeat", "run": "t0000-1", "trial": "t0000", "number": 1})
    study.after(10, {"event": "repeating", "run": "t0000-1", "images": 100, "hostname": "node-b"})
    assert study.trial("t0000-1").host == "node-b"
    assert study.live().images_per_second == 10.0
    study.after(10, {"event": "repeat_failed", "run": "t0000-1", "reason": "full"})
    assert study.live().running == ()
