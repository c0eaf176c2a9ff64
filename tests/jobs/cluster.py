"""A real Ray cluster on this machine: a head without trials and two nodes, each its own process."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class LocalCluster:
    """Where its Jobs API is, its own storage, and folder and environment of a laptop outside."""

    address: str
    storage: Path
    home: Path
    environment: dict[str, str]

    def run(self, *arguments: str | Path, **other: str) -> subprocess.CompletedProcess[str]:
        """The command as a process of its own; `other` changes its environment."""
        return subprocess.run(
            self._command(*arguments), capture_output=True, text=True, timeout=120, check=False,
            cwd=self.home, env=self.environment | other,
        )  # fmt: skip

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """The same, without waiting for it."""
        return subprocess.Popen(
            self._command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            cwd=self.home, env=self.environment, start_new_session=True,
        )  # fmt: skip

    def _command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "tune_diffreg", *map(str, arguments)]


@contextmanager
def local_cluster(home: Path, storage: Path, nodes: int = 2) -> Iterator[LocalCluster]:
    """Starts one as `cluster.yaml` would.

    Args:
        home: folder of the laptop; what lets it in is the `token` in it, made if need be.
        storage: the cluster's own, where a study names none.
    """
    token_file = home / "token"
    if not token_file.exists():
        token_file.write_text(secrets.token_hex(32))
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token_file),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "TUNE_DIFFREG_STORAGE"):
        environment.pop(name, None)
    of_nodes = environment | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "TUNE_DIFFREG_STORAGE": str(storage),
    }
    port, dashboard, *others = free_ports(2 + 4 * (nodes + 1))
    head = ["--head", f"--port={port}", "--num-cpus=0", f"--dashboard-port={dashboard}",
            "--dashboard-host=127.0.0.1"]  # fmt: skip
    joins = [f"--address=127.0.0.1:{port}", "--num-cpus=1"]
    with ExitStack() as stack:
        for kind in (head, *[joins] * nodes):
            own, others = others[:4], others[4:]
            stack.enter_context(_node([*kind, *_own_ports(own)], of_nodes))
            _wait_for(dashboard)  # the others join while it is used
        yield LocalCluster(f"http://127.0.0.1:{dashboard}", storage, home, environment)


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody uses now."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for taken in sockets:
            taken.bind(("127.0.0.1", 0))
        return [taken.getsockname()[1] for taken in sockets]


def _own_ports(ports: list[int]) -> list[str]:
    names = ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent",
             "metrics-export")  # fmt: skip
    return [f"--{name}-port={port}" for name, port in zip(names, ports, strict=True)]


@contextmanager
def _node(options: list[str], environment: dict[str, str]) -> Iterator[None]:
    # A folder for each, as on machines of their own; short, since paths of sockets may not be long.
    files = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    command = [
        str(Path(sys.executable).parent / "ray"), "start", "--block", f"--temp-dir={files}",
        "--node-ip-address=127.0.0.1", "--object-store-memory=80000000",
        "--disable-usage-stats", *options,
    ]  # fmt: skip
    node = subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield
    finally:
        processes = [*psutil.Process(node.pid).children(recursive=True), psutil.Process(node.pid)]
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.wait()
        psutil.wait_procs(processes, timeout=10)
        shutil.rmtree(files, ignore_errors=True)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, f"nothing came up at {port}"
            time.sleep(0.3)
