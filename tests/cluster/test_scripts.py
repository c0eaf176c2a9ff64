"""What the nodes of a cluster run to get ready, and to keep the MLflow server up."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from mlflow import MlflowClient

from tests.conftest import ROOT

STAND_INS = Path(__file__).parent / "stand_ins"
REAL = Path(sys.executable).parent
Node = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The home folder of a node as it comes, with what `ray up` has copied there."""
    home = tmp_path / "a home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("token")
    (home / "tune-diffreg").symlink_to(ROOT)
    return home


@pytest.fixture
def node(home: Path) -> Node:
    """Runs node.sh there."""

    def run(storage: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {
            "HOME": str(home), "PATH": f"{STAND_INS}:/usr/bin:/bin", "REAL_BIN": str(REAL),
            "NODE_LOG": str(home / "log"), "PYTHONPATH": str(ROOT),
        }  # fmt: skip
        return subprocess.run(
            ["bash", str(ROOT / "cluster" / "node.sh"), storage], env=known | environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def log(home: Path) -> list[str]:
    return (home / "log").read_text().splitlines() if (home / "log").exists() else []


def environment(home: Path, name: str) -> str:
    done = subprocess.run(
        ["bash", "-c", f'. ~/.bashrc; printf %s "${name}"'],
        env={"HOME": str(home)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.mark.slow
def test_a_node_gets_ready_and_again_with_another_storage(node: Node, home: Path) -> None:
    done = node("nfs://server/exports/studies")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    *asked, pip = log(home)
    assert [line.split()[-1] for line in asked[:3]] == ["-qq", "nfs-common", "/mnt/studies"]
    assert asked[3].startswith("sudo mount -t nfs4 ")
    assert asked[3].endswith(" server:/exports/studies /mnt/studies")
    assert pip.startswith("pip install ")
    assert environment(home, "TUNE_DIFFREG_STORAGE") == "/mnt/studies"
    assert environment(home, "RAY_AUTH_MODE") == "token"
    assert environment(home, "PATH").startswith(f"{home}/venv/bin:")
    assert oct((home / ".ray" / "auth_token").stat().st_mode)[-3:] == "600"

    assert node("nfs://server", MOUNTED="server:/").returncode == 0
    assert sum(line.startswith("sudo mount ") for line in log(home)) == 1
    assert node(str(home / "it's shared")).returncode == 0
    assert environment(home, "TUNE_DIFFREG_STORAGE") == str(home / "it's shared")
    assert (home / ".bashrc").read_text().count("tune-diffreg") == 1


@pytest.mark.parametrize(
    ("storage", "reason"),
    [
        ("s3://BUCKET/studies", "not a storage of yours yet"),
        ("nfs://SERVER/studies", "not a storage of yours yet"),
        ("nonsense://bucket", "cannot be reached"),
    ],
)
def test_a_storage_that_cannot_be_stops_the_node(node: Node, storage: str, reason: str) -> None:
    done = node(storage)
    assert done.returncode != 0
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_mounted_stops_the_node(node: Node, home: Path) -> None:
    """Or its studies would lie on this machine alone, and go with it."""
    assert node("nfs://server/exports/studies", FAILING="mount").returncode == 32
    assert not (home / ".tune-diffreg").exists()


def test_no_token_no_node(node: Node, home: Path) -> None:
    (home / ".ray" / "auth_token").write_text("")
    done = node("s3://bucket")
    assert done.returncode == 1
    assert "ray get-auth-token --generate" in done.stderr
    assert not (home / "venv").exists()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Callable[[], psutil.Process]]]:
    """Where MLflow will answer; a call of mlflow.sh, which gives what keeps the server running."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    stand_in = tmp_path / "bin" / "mlflow"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/bash\nexec "{REAL}/mlflow" "${{@/#5000/{port}}}"\n')
    stand_in.chmod(0o755)
    known = os.environ | {
        "HOME": str(tmp_path), "PATH": f"{stand_in.parent}:{os.environ['PATH']}",
        "TUNE_DIFFREG_STORAGE": str(tmp_path / "storage"),
    }  # fmt: skip
    keepers = []

    def call() -> psutil.Process:
        subprocess.run(["bash", str(ROOT / "cluster" / "mlflow.sh")], env=known, check=True)
        keepers.append(psutil.Process(int((tmp_path / "mlflow" / "keeper").read_text())))
        return keepers[-1]

    yield f"http://127.0.0.1:{port}", call
    for keeper in keepers:
        if keeper.is_running():
            os.killpg(keeper.pid, signal.SIGKILL)


def wait_for(address: str) -> None:
    until = time.monotonic() + 200
    while time.monotonic() < until:
        try:
            if requests.get(f"{address}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise AssertionError("MLflow does not answer")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_mlflow_is_up_again_when_killed_and_keeps_what_it_has(
    server: tuple[str, Callable[[], psutil.Process]], tmp_path: Path
) -> None:
    address, call = server
    keeper = call()
    wait_for(address)
    client = MlflowClient(address)
    run = client.create_run(client.create_experiment("digits"))
    (tmp_path / "note.txt").write_text("kept")
    client.log_artifact(run.info.run_id, str(tmp_path / "note.txt"))
    [kept] = (tmp_path / "storage" / "mlflow-artifacts").rglob("note.txt")
    assert kept.read_text() == "kept"

    [mlflow] = keeper.children()
    left = mlflow.children(recursive=True)
    mlflow.kill()  # what it started lives on, and holds the port
    assert not psutil.wait_procs([mlflow, *left], timeout=60)[1]
    [again] = _until(lambda: [c for c in keeper.children() if "server" in c.cmdline()])
    wait_for(address)
    assert MlflowClient(address).get_run(run.info.run_id).info.run_id == run.info.run_id

    other = call()
    assert other.pid != keeper.pid
    _until(lambda: [True] if not keeper.is_running() and not again.is_running() else [])


def _until(find: Callable[[], list[Any]]) -> list[Any]:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if found := find():
            return found
        time.sleep(0.1)
    raise AssertionError("waited in vain")
