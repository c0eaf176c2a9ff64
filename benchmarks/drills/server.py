"""Faults of the MLflow server: down for the whole study, or killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from benchmarks.drills.command import PATIENCE_SECONDS
from benchmarks.drills.scene import NAME, Scene


class Server:
    """`mlflow server` on a port of this machine, with its store in the drill's folder."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Returns once it answers."""
        root = self._scene.root
        with (root / "server.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "mlflow", "server", "--workers", "1",
                    "--host", "127.0.0.1", "--port", str(self._port),
                    "--backend-store-uri", f"sqlite:///{root / 'server.db'}",
                    "--artifacts-destination", str(root / "server-artifacts"),
                ],
                stdout=log, stderr=log, env=self._scene.environment, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((root / "server.txt").read_text())
            time.sleep(0.2)

    def kill(self) -> None:
        """SIGKILL of the server and its workers."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return True
        except OSError:
            return False


def down(scene: Scene) -> None:
    """No server answers while the study runs; `sync` delivers once there is one."""
    server = Server(scene)
    command = scene.run(f"tracking.uri={server.uri}")
    scene.ends(command, 0)
    server.start()
    _sync(scene)


def restarted(scene: Scene) -> None:
    """The server is killed at a random moment and started again at another."""
    server = Server(scene)
    server.start()
    command = scene.run(f"tracking.uri={server.uri}")
    scene.random_moment(command, share=0.7)
    server.kill()
    time.sleep(scene.dice.uniform(0, 10))
    server.start()
    scene.ends(command, 0)
    _sync(scene)


def _sync(scene: Scene) -> None:
    """Twice, which is the same as once."""
    for _ in range(2):
        scene.ends(scene.command("sync", NAME, "--storage", scene.storage), 0)
