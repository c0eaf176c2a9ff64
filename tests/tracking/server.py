"""A real MLflow server that tests may kill, halt, fill up and start again."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psutil

from tests.tracking.contents import Contents, contents


class Server:
    """`mlflow server` on a port of its own, with its store in `folder`; not started yet."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._store = folder / "server.db"
        self._artifacts = folder / "artifacts"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it, unless it runs, and waits until it answers."""
        if self._process is not None:
            return
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self._store}"]
        command += ["--artifacts-destination", str(self._artifacts)]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        self._process = subprocess.Popen(
            command,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, 240)

    def kill(self) -> None:
        """As a machine that goes down."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def halt(self) -> None:
        """It takes connections, and does not answer."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It answers all that it was asked meanwhile."""
        self._signal(signal.SIGCONT)

    def fill_up(self) -> None:
        """Its store can grow no more, as on a disk that is full."""
        self._limit(self._store.stat().st_size)

    def empty(self) -> None:
        """It can again."""
        self._limit(resource.RLIM_INFINITY)

    def contents(self, experiment: str) -> Contents:
        """What it has, read without asking it."""
        return contents(f"sqlite:///{self._store}", experiment, self._artifacts)

    def _limit(self, size: int) -> None:
        assert self._process is not None
        first = psutil.Process(self._process.pid)
        for process in (first, *first.children(recursive=True)):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, "the server ended by itself"
        try:
            urllib.request.urlopen(f"{self.uri}/health", timeout=10).read()
        except OSError:
            return False
        return True


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
