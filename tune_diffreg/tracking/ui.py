"""MLflow's own UI, on loopback unless asked otherwise."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
from types import FrameType
from typing import NoReturn

from tune_diffreg.errors import InputError, WorkFailed

_GENTLY_SECONDS = 10
LOOPBACK = "127.0.0.1"


def is_loopback(host: str) -> bool:
    """Whether nothing but this machine reaches what listens at `host`, a name or an address.

    Raises:
        InputError: there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise InputError(f"--host {host}: there is no such host") from None
    addresses = {str(place[0]).partition("%")[0] for *_, place in found}
    return all(ipaddress.ip_address(address).is_loopback for address in addresses)


def pages(uri: str, port: int, host: str = LOOPBACK) -> dict[str, str]:
    """Study to the page with its runs. MLflow's front page would lead to a view without them."""
    from mlflow import MlflowClient

    root = f"http://{f'[{host}]' if ':' in host else host}:{port}/#/experiments"
    return {
        found.name: f"{root}/{found.experiment_id}/runs?workflowType=machine_learning"
        for found in MlflowClient(uri).search_experiments(order_by=["name"])
        if found.name != "Default"
    }


def serve(uri: str, port: int, host: str = LOOPBACK) -> None:
    """Runs MLflow's server on `uri` until it is interrupted.

    Args:
        host: what it listens at; no other machine can reach loopback.

    Raises:
        WorkFailed: it ended by itself.
    """
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri]
    command += ["--host", host, "--port", str(port), "--workers", "1"]
    command += ["--uvicorn-opts", "--log-level warning"]
    quiet = {
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "PYTHONWARNINGS": "ignore",
        # Its jobs judge language models; the processes that wait for some cost a core at the start.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    # A group of its own, since the server's own processes outlive it otherwise.
    server = subprocess.Popen(command, env=os.environ | quiet, start_new_session=True)
    signal.signal(signal.SIGTERM, _leave)
    try:
        status = server.wait()
    finally:
        _end(server)
    if status > 0:
        raise WorkFailed(f"MLflow's server ended with status {status}; is port {port} in use?")


def _leave(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _end(server: subprocess.Popen[bytes]) -> None:
    """Ends the server and all that it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            return
        try:
            server.wait(_GENTLY_SECONDS)
        except subprocess.TimeoutExpired:
            continue
