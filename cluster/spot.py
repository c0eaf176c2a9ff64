"""Tells Ray that AWS takes this spot machine away, two minutes before it does:  spot.py

Ray (2.60) does not ask for that notice. It is told by a drain of the machine's node, whose trials
then make a checkpoint and go on elsewhere. Started after Ray, this ends with it. Where nobody gives
notice (machines on demand, other providers) it finds none, and is quiet.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import time
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException

import psutil

_POLL_SECONDS = 5.0  # what AWS recommends
_ANSWER_SECONDS = 2.0
_DRAIN_SECONDS = 60.0
_MOST_BYTES = 10_000
_ACTIONS = ("terminate", "stop", "hibernate")
# 404, no such service, or one that is not AWS's and may answer anything.
_NO_NOTICE = (
    OSError, HTTPException, ArithmeticError, LookupError, RecursionError, TypeError, ValueError,
)  # fmt: skip

_not_by_proxy = urllib.request.build_opener(urllib.request.ProxyHandler({}))
log = logging.getLogger("spot.py")


def main() -> None:
    """Watches until Ray has been told, or has ended."""
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    # The variable is that of AWS's own SDKs.
    service = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")
    watch(nodes_here(), service.rstrip("/"))


def nodes_here() -> dict[str, psutil.Process]:
    """Ray's name for each node that runs on this machine, and the node's process."""
    found = {}
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == "raylet":
            for argument in process.info["cmdline"] or ():
                if argument.startswith("--node_id="):
                    found[argument.partition("=")[2]] = process
    return found


def watch(
    nodes: dict[str, psutil.Process], service: str, poll_seconds: float = _POLL_SECONDS
) -> None:
    """Has each node drained once there is a notice; ends when all are drained, or gone.

    Args:
        service: address of the machine's metadata service.
    """
    going = None
    while nodes := {name: process for name, process in nodes.items() if process.is_running()}:
        going = going or notice(service)
        if going is not None:
            nodes = {name: process for name, process in nodes.items() if not drain(name, going)}
        if nodes:
            time.sleep(poll_seconds)


def notice(service: str) -> datetime | None:
    """When this machine will be taken away, if that is known."""
    try:
        limit = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
        token = _ask("PUT", f"{service}/latest/api/token", limit)
        path = f"{service}/latest/meta-data/spot/instance-action"
        said = json.loads(_ask("GET", path, {"X-aws-ec2-metadata-token": token}))
        going = datetime.fromisoformat(said["time"]).astimezone(UTC)
        return going if said["action"] in _ACTIONS else None
    except _NO_NOTICE:
        return None


def drain(node: str, going: datetime) -> bool:
    """Whether Ray has been told; it knows the cluster and its token from the environment."""
    left = max(0, int((going - datetime.now(UTC)).total_seconds()))
    log.info("AWS takes this machine away in %d s; node %s is drained", left, node)
    command = [
        "ray", "drain-node", "--node-id", node, "--reason", "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message", "AWS takes this spot machine away",
        "--deadline-remaining-seconds", str(left),
    ]  # fmt: skip
    try:
        return subprocess.run(command, check=False, timeout=_DRAIN_SECONDS).returncode == 0
    except (OSError, subprocess.TimeoutExpired) as error:
        log.info("%s", error)
        return False


def _ask(method: str, url: str, headers: dict[str, str]) -> str:
    request = urllib.request.Request(url, method=method, headers=headers)
    with _not_by_proxy.open(request, timeout=_ANSWER_SECONDS) as answer:
        said: bytes = answer.read(_MOST_BYTES)
    return said.decode()


if __name__ == "__main__":
    main()
