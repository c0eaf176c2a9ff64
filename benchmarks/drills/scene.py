"""One drill under way: its folder, its dice, its commands, and the processes to end after it."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.drills.command import PATIENCE_SECONDS, Command
from tune_diffreg.results import StudyFolder, read_journal
from tune_diffreg.results.journal import Event

STUDY_FILE = Path(__file__).parents[2] / "search_spaces" / "digits.yaml"
NAME = "digits"

# Seconds of training in all, and yet every decision: pausing, promoting, pruning, a control.
SMALL = (
    "data.validation=160",
    "data.test=160",
    "training.images=2560",
    "halving.first_rung=640",
    "halving.reduction_factor=2",
    "evaluation.samples=80",
    "evaluation.rung_samples=40",
    "evaluation.steps=4",
    "search.trials=5",
    "confirmation=null",
)
ONE_WORKER = "search.concurrent=1"

_MARK = "TUNE_DIFFREG_DRILL"
_DECISIONS = ("start", "report", "promote", "end", "stop")
_GLANCE_SECONDS = 0.05


class Missed(Exception):
    """The study was over before the moment came; the drill is drawn again."""


@dataclass(frozen=True)
class Moment:
    """So many seconds after so many decisions of a study, or at the next one if that is sooner."""

    decisions: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.decisions} decisions + {self.seconds:.1f} s"


@dataclass
class Scene:
    """What a drill works with.

    Attributes:
        root: a folder of the drill's own.
        storage: where its study lies.
        overrides: of the study file.
        timeline: seconds after its first event at which an undisturbed run took each decision, and
            was over.
        exits: what every command that has ended gave, and what it should have given.
    """

    root: Path
    dice: random.Random
    overrides: tuple[str, ...]
    timeline: tuple[float, ...] = ()
    address: str | None = None
    storage: Path = field(init=False)
    environment: dict[str, str] = field(init=False)
    moments: list[str] = field(default_factory=list)
    exits: list[tuple[int | None, tuple[int, ...]]] = field(default_factory=list)
    screens: list[str] = field(default_factory=list)
    resumed: int = 0
    _to_undo: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.storage = self.root / "runs"
        mark = uuid.uuid4().hex
        self.environment = {**os.environ, _MARK: mark, "RAY_TMPDIR": str(self.root)}
        self.environment.pop("MLFLOW_TRACKING_URI", None)  # a store that is not the drill's

    @property
    def folder(self) -> StudyFolder:
        return StudyFolder(self.storage, NAME)

    def run(self, *overrides: str) -> Command:
        """Starts the study."""
        settings = [x for text in (*self.overrides, *overrides) for x in ("--set", text)]
        return self.command("run", STUDY_FILE, *self._where(), *settings)

    def resume(self, *expected: int) -> None:
        """Goes on with the study until that ends, with status 0 unless another is expected."""
        self.resumed += 1
        self.ends(self.command("resume", NAME, *self._where()), *expected or (0,))

    def command(self, *arguments: str | Path) -> Command:
        """Starts any command."""
        screen = self.root / f"screen-{uuid.uuid4().hex}.txt"
        return Command(arguments, screen, self.environment)

    def ends(self, command: Command, *expected: int) -> None:
        """Waits for the end of a command, and notes with which status that was."""
        self.exits.append((command.status(), expected))
        self.screens.append(command.screen)

    def events(self) -> list[Event]:
        """What the journal holds by now."""
        return read_journal(self.folder.journal) if self.folder.journal.exists() else []

    def decisions(self) -> int:
        """How many lines of the journal are decisions."""
        return sum(event["event"] in _DECISIONS for event in self.events())

    def wait(self, condition: Callable[[], object], command: Command) -> None:
        """Waits until something is so.

        Raises:
            Missed: the command was over before, or nothing happens any more.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if command.over or time.monotonic() > deadline:
                self.screens.append(command.screen)
                raise Missed(command.screen)
            time.sleep(_GLANCE_SECONDS)

    def random_moment(self, command: Command, share: float = 1.0) -> None:
        """Waits for a moment drawn from all of the time that an undisturbed run takes.

        Args:
            share: of that time, from its beginning; less than 1 where something must be left.
        """
        moment = self._draw(share)
        self.moments.append(str(moment))
        self.wait(lambda: self.events() and self.decisions() >= moment.decisions, command)
        until = time.monotonic() + moment.seconds
        self.wait(lambda: time.monotonic() >= until or self.decisions() > moment.decisions, command)
        if command.over:
            raise Missed(command.screen)

    def processes(self) -> list[psutil.Process]:
        """All that the drill started and that lives, orphans too: they bear its mark, or their
        parents do."""
        mark, found = self.environment[_MARK], set()
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(_MARK) == mark:
                    found |= {process, *process.children(recursive=True)}
        return list(found)

    def on_close(self, undo: Callable[[], None]) -> None:
        """Has something undone when the drill is over and its processes have ended."""
        self._to_undo.append(undo)

    def kill_all(self) -> None:
        """Ends every process of the drill."""
        killed = self.processes()
        for process in killed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(killed, timeout=10)

    def close(self) -> None:
        """Leaves nothing behind but files."""
        self.kill_all()
        while self._to_undo:
            self._to_undo.pop()()

    def _draw(self, share: float) -> Moment:
        at = self.dice.uniform(0, share * self.timeline[-1])
        taken = [second for second in self.timeline[:-1] if second <= at]
        return Moment(len(taken), at - (taken[-1] if taken else 0.0))

    def _where(self) -> list[str]:
        address = ["--address", self.address] if self.address else []
        return ["--storage", str(self.storage), *address]


@contextmanager
def scene(
    dice: random.Random, overrides: tuple[str, ...], timeline: tuple[float, ...] = ()
) -> Iterator[Scene]:
    """A drill's scene; afterwards nothing is left of it."""
    # A short path: Ray makes sockets in it.
    root = Path(tempfile.mkdtemp(prefix="drill-"))
    made = Scene(root, dice, overrides, timeline)
    try:
        yield made
    finally:
        made.close()
        shutil.rmtree(root, ignore_errors=True)
