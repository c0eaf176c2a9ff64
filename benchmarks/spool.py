"""How fast MLflow takes what a search writes, and what waits for it meanwhile."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from benchmarks.driver import Driver, Load, scale_study
from tune_diffreg.results import StudyFolder
from tune_diffreg.tracking import Follower, study_delivery

STORES = ("SQLite", "mlflow server")

_PATIENCE = 150.0


def spooled(store: str, trials: int, load: Load, scratch: Path, seconds: float) -> dict[str, Any]:
    """A search with MLflow behind it; then MLflow alone, until it has everything.

    Args:
        store: one of `STORES`: beside the results, or on this machine.
        seconds: the longest that MLflow is then watched.
    """
    server = mlflow_server(scratch / "server") if store == STORES[1] else nullcontext("")
    with server as uri:
        study = scale_study(trials, *([f"tracking.uri={uri}"] if uri else []))
        folder = StudyFolder(scratch, study.name)
        driver = Driver(study, folder, load)
        begin = time.perf_counter()
        follower = Follower(study_delivery(study, folder))
        driver.run()
        searched = time.perf_counter() - begin
        written = len(folder.journal.read_bytes().splitlines())
        left = follower.waiting
        drained, cpu, took = _drain(follower, seconds)
        follower.close(None)
    return {
        "records": written,
        "waiting": left,
        "waiting_at_the_end": left - drained,
        "records_per_second_beside": round((written - left) / searched, 1),
        "records_per_second": round(drained / took, 1) if drained else None,
        "cpu_ms_a_record": round(1e3 * cpu / drained, 1) if drained else None,
    }


def _drain(follower: Follower, seconds: float) -> tuple[int, float, float]:
    """How many records MLflow takes, the CPU seconds of this process, and the seconds it took."""
    left, cpu, begin = follower.waiting, time.process_time(), time.perf_counter()
    while follower.waiting and time.perf_counter() - begin < seconds:
        time.sleep(0.05)
    took = time.perf_counter() - begin
    return left - follower.waiting, time.process_time() - cpu, took


@contextmanager
def mlflow_server(folder: Path) -> Iterator[str]:
    """A real server with a store of its own on this machine; its address."""
    folder.mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(f"{address}/health")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            urllib.request.urlopen(url, timeout=10).read()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
