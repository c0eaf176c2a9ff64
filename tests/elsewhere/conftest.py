"""A storage on a real S3 interface, which can fall silent."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from moto.server import ThreadedMotoServer

from tests.elsewhere.machines import new_storage


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Where an S3 server on this machine answers."""
    running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"{host}:{port}"
    running.stop()


@pytest.fixture
def address(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A storage that is new."""
    return new_storage(server, monkeypatch, tmp_path)


@pytest.fixture
def silenced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[str, psutil.Process]]:
    """The same, and the process that answers for it, which can be stopped from doing so."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        assert time.monotonic() < until
        time.sleep(0.1)
    try:
        yield new_storage(f"127.0.0.1:{port}", monkeypatch, tmp_path), process
    finally:
        process.kill()
        process.wait()
