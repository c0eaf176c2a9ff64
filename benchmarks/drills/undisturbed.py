"""Runs to which nothing happens: what a drill's study is held against."""

from __future__ import annotations

import json
import random
import shutil
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import tune_diffreg
from benchmarks.drills.scene import NAME, scene
from tune_diffreg.results import StudyFolder, read_journal

_ENDED_AT = "ended_at.json"


@dataclass(frozen=True)
class Undisturbed:
    """One such run.

    Attributes:
        storage: what it left.
        timeline: seconds after its first event of each decision and of its end.
    """

    storage: Path
    timeline: tuple[float, ...]

    @property
    def folder(self) -> StudyFolder:
        return StudyFolder(self.storage, NAME)


def undisturbed(kept: Path, overrides: tuple[str, ...]) -> Undisturbed:
    """The run of a study with these overrides, made where `kept` does not hold it yet.

    One that other code has made is none: scores are compared to the last bit.
    """
    of_it = sha256("\n".join(overrides).encode())
    for path in sorted(Path(tune_diffreg.__file__).parent.rglob("*.py")):
        of_it.update(path.read_bytes())
    storage = kept / of_it.hexdigest()[:16]
    if not storage.exists():
        _make(storage, overrides)
    times = [event["time"] for event in read_journal(StudyFolder(storage, NAME).journal)]
    over = float(json.loads((storage / _ENDED_AT).read_text()))
    # The first line says that a session begins, and decides nothing.
    return Undisturbed(storage, tuple(at - times[0] for at in (*times[1:], over)))


def _make(storage: Path, overrides: tuple[str, ...]) -> None:
    with scene(random.Random(), overrides) as stage:
        command = stage.run()
        if command.status() != 0:
            raise RuntimeError(f"the undisturbed run did not end well:\n{command.screen}")
        (stage.storage / _ENDED_AT).write_text(json.dumps(time.time()))
        storage.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(stage.storage, storage)
