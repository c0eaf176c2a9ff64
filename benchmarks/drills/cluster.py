"""A cluster of real Ray nodes on this machine, each with its own processes and address."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress

import psutil

from benchmarks.drills.command import PATIENCE_SECONDS, is_actor
from benchmarks.drills.scene import Scene

_OBJECTS = str(80 * 2**20)
"""Bytes of an object store; Ray allows no fewer than 75 MiB."""
_NODE_ID = "--node_id="


class Node:
    """One node: what `ray start` starts, and keeps watch over."""

    def __init__(self, scene: Scene, host: str, *options: str) -> None:
        self.host = host
        self._log = scene.root / f"node-{host}.txt"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-m", "ray.scripts.scripts", "start", "--block",
                    "--node-ip-address", host, "--object-store-memory", _OBJECTS,
                    "--temp-dir", str(scene.root / host), "--num-gpus", "0", *options,
                ],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=scene.environment,
                start_new_session=True,
            )  # fmt: skip

    def wait_until_up(self) -> None:
        """Returns once its raylet is there and `ray start` says so."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while "Ray runtime started" not in self._log.read_text():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"no node at {self.host}:\n{self._log.read_text()}")
            time.sleep(0.2)

    def raylet(self) -> psutil.Process:
        (found,) = [p for p in self._processes() if p.name() == "raylet"]
        return found

    def id(self) -> str:
        """What Ray calls it."""
        words = self.raylet().cmdline()
        (found,) = [word for word in words if word.startswith(_NODE_ID)]
        return str(found).removeprefix(_NODE_ID)

    def trials(self) -> int:
        """How many trials run on it."""
        with suppress(psutil.Error, ValueError):
            return sum(is_actor(process) for process in self.raylet().children())
        return 0

    def kill(self) -> None:
        """Ends all its processes at once, as when a machine is gone."""
        for process in [*self._processes(), psutil.Process(self._process.pid)]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def _processes(self) -> list[psutil.Process]:
        return list(psutil.Process(self._process.pid).children(recursive=True))


class Cluster:
    """A head that trains nothing, and workers that hold one trial each."""

    def __init__(self, scene: Scene, workers: int = 2) -> None:
        self._scene = scene
        self._port, client = _free_port(), _free_port()
        scene.environment |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": uuid.uuid4().hex * 2}
        self._hosts = (f"127.0.0.{n}" for n in range(2, 250))
        self.head = Node(
            scene, next(self._hosts), "--head", "--port", str(self._port), "--num-cpus", "0",
            "--ray-client-server-port", str(client), "--include-dashboard", "false",
        )  # fmt: skip
        self.head.wait_until_up()
        self.workers = [self._worker() for _ in range(workers)]
        for worker in self.workers:
            worker.wait_until_up()

    @property
    def address(self) -> str:
        return f"{self.head.host}:{self._port}"

    def add_worker(self) -> None:
        """One more node, for a trial more."""
        self.workers.append(self._worker())
        self.workers[-1].wait_until_up()

    def remove(self, worker: Node) -> None:
        """Takes a node away, whatever it does."""
        worker.kill()
        self.workers.remove(worker)

    def _worker(self) -> Node:
        host = next(self._hosts)
        return Node(self._scene, host, "--address", self.address, "--num-cpus", "1")


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
