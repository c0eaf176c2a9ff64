"""The command as a process of its own, its screen kept in a file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

import psutil

PATIENCE_SECONDS = 420.0
"""For what takes under a minute on a machine that does nothing else."""

_KILLED = -9


class Command:
    """One `tune-diffreg …` that was started; it has a process group of its own."""

    def __init__(
        self, arguments: Iterable[str | Path], screen: Path, environment: Mapping[str, str]
    ) -> None:
        self._screen = screen
        with screen.open("wb") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tune_diffreg", *map(str, arguments)],
                stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                env=dict(environment), start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    @property
    def screen(self) -> str:
        """All that it has printed, on both streams."""
        return self._screen.read_text(errors="replace")

    def signal(self, number: int) -> None:
        """Sends a signal to the command alone, not to what it started."""
        self._process.send_signal(number)

    def status(self, seconds: float = PATIENCE_SECONDS) -> int | None:
        """Its exit status once it is over; None if it had to be killed after `seconds`."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            return None

    def actors(self) -> list[psutil.Process]:
        """The processes of its trials, where it runs them on this machine."""
        try:
            return [p for p in psutil.Process(self.pid).children(recursive=True) if is_actor(p)]
        except psutil.NoSuchProcess:
            return []


def is_actor(process: psutil.Process) -> bool:
    """Whether it is one that Ray runs a trial in, and not one that waits for a trial."""
    try:
        return "Trainable" in " ".join(process.cmdline())
    except psutil.Error:
        return False
