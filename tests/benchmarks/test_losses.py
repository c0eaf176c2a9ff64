"""What drills count as lost: nothing of a whole study, and each thing taken from one."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.drills.losses import Comparison, losses
from benchmarks.drills.scene import Scene
from tune_diffreg.results import StudyFolder

pytestmark = pytest.mark.slow


@pytest.fixture
def scene(finished: Path, tmp_path: Path) -> Scene:
    """A drill whose study ended as one that nothing happened to."""
    made = Scene(tmp_path, random.Random(0), ())
    shutil.copytree(finished, made.storage)
    made.exits.append((0, (0,)))
    return made


def counted(scene: Scene, finished: Path, exact: bool = True) -> dict[str, int]:
    """What was lost, without what was not."""
    found = losses(scene, Comparison(StudyFolder(finished, "digits"), exact))
    return {name: len(sentences) for name, sentences in found.items() if sentences}


def rewrite(scene: Scene, change: Callable[[list[dict[str, object]]], None]) -> None:
    """Changes the events of the drill's journal."""
    events = [json.loads(line) for line in scene.folder.journal.read_text().splitlines()]
    change(events)
    scene.folder.journal.write_text("".join(json.dumps(event) + "\n" for event in events))


def first(events: list[dict[str, object]], kind: str) -> int:
    return next(i for i, event in enumerate(events) if event["event"] == kind)


@pytest.mark.parametrize("exact", [True, False])
def test_a_study_that_nothing_happened_to_has_lost_nothing(
    scene: Scene, finished: Path, exact: bool
) -> None:
    assert counted(scene, finished, exact) == {}


def test_a_trial_that_is_gone(scene: Scene, finished: Path) -> None:
    rewrite(scene, lambda events: events.__setitem__(
        slice(None), [event for event in events if event.get("trial") != "t0003"]
    ))  # fmt: skip
    assert counted(scene, finished)["trials"] == 1
    assert counted(scene, finished, exact=False)["trials"] == 1


def test_a_trial_that_was_started_twice(scene: Scene, finished: Path) -> None:
    rewrite(scene, lambda events: events.insert(3, events[first(events, "start")]))
    assert counted(scene, finished)["trials"] >= 1


def test_a_report_that_is_there_twice(scene: Scene, finished: Path) -> None:
    rewrite(scene, lambda events: events.insert(3, events[first(events, "report")]))
    assert counted(scene, finished)["reports"] == 1


def test_a_score_that_differs_in_the_last_bit(scene: Scene, finished: Path) -> None:
    def nudge(events: list[dict[str, object]]) -> None:
        scores = events[first(events, "report")]["scores"]
        assert isinstance(scores, dict)
        scores["fd_digits_cnn"] = scores["fd_digits_cnn"] * (1 + 2**-52)

    rewrite(scene, nudge)
    found = counted(scene, finished)
    assert found["scores"] == 1
    assert found["mlflow"] == 2  # the point that is there, and the one that should be


def test_what_lies_in_the_folder(scene: Scene, finished: Path) -> None:
    trial = scene.folder.trial("t0000")
    (trial / "samples.png").unlink()
    (trial / ".checkpoint.pt.17.tmp").touch()
    (trial / "checkpoint.pt").touch()
    assert counted(scene, finished) == {"images": 1, "leftovers": 2}


def test_a_run_that_mlflow_has_twice_or_not(scene: Scene, finished: Path) -> None:
    with sqlite3.connect(scene.storage / "mlflow.db") as store:
        store.execute("update tags set value = 't0001' where key = 'trial_id' and value = 't0000'")
    assert counted(scene, finished) == {"mlflow": 2}


def test_how_commands_ended_and_what_they_printed(scene: Scene, finished: Path) -> None:
    scene.exits.append((1, (0, 130)))
    scene.exits.append((None, (0,)))
    scene.screens.append("Traceback (most recent call last):\n  ...")
    assert counted(scene, finished) == {"exits": 2, "tracebacks": 1}
