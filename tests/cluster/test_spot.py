"""Nodes that are about to be taken away: who tells Ray, by AWS's notice and by the end of a pod."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psutil
import pytest

from cluster import spot
from tests.jobs.cluster import free_ports

TOKEN = "/latest/api/token"
ACTION = "/latest/meta-data/spot/instance-action"
STORE = "--object-store-memory=80000000"


@dataclass
class Service:
    """What answers, in the order in which it is asked: 404, unless there is a notice."""

    address: str = ""
    notices: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    broken: str | None = None  # the answer to everything

    def answer(self, method: str, path: str, headers: Any) -> tuple[int, str]:
        self.asked.append((method, path))
        if self.broken is not None:
            return 200, self.broken
        if (method, path) == ("PUT", TOKEN):
            allowed = 1 <= int(headers.get("X-aws-ec2-metadata-token-ttl-seconds", 0)) <= 21600
            return (200, f"token-{len(self.asked)}") if allowed else (400, "")
        if headers.get("X-aws-ec2-metadata-token") != f"token-{len(self.asked) - 1}":
            return 401, ""
        notice = self.notices.pop(0) if self.notices else ""
        return (200, notice) if notice and path == ACTION else (404, "")


@pytest.fixture
def service() -> Iterator[Service]:
    known = Service()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            status, text = known.answer(self.command, self.path, self.headers)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_PUT = _answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    known.address = f"http://127.0.0.1:{server.server_port}"
    yield known
    server.shutdown()
    server.server_close()


def going(action: str = "terminate", seconds: float = 120) -> str:
    """AWS's own words."""
    when = datetime.now(UTC) + timedelta(seconds=seconds)
    return json.dumps({"action": action, "time": when.strftime("%Y-%m-%dT%H:%M:%SZ")})


@pytest.fixture
def node() -> Iterator[psutil.Process]:
    """What stands for a node of Ray's."""
    process = subprocess.Popen(["sleep", "100"])
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


@pytest.fixture
def drains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `ray` was told; it fails as often as there are lines in `failures`."""
    ray = tmp_path / "bin" / "ray"
    ray.parent.mkdir()
    log, failures = tmp_path / "drains", tmp_path / "failures"
    failures.touch()
    ray.write_text(
        f'#!/bin/bash\nprintf "%s|" "$@" >>{log}; echo >>{log}\n'
        f"[ ! -s {failures} ] || {{ sed -i 1d {failures}; exit 1; }}\n"
    )
    ray.chmod(0o755)
    log.touch()
    monkeypatch.setenv("PATH", f"{ray.parent}:/usr/bin:/bin")
    return log


def test_a_notice_is_asked_for_with_a_token_and_passed_on_once(
    service: Service, node: psutil.Process, drains: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # would speak for another machine
    service.notices = ["", "", going()]
    spot.watch({"f00d": node}, service.address, 0.01)
    assert service.asked == [("PUT", TOKEN), ("GET", ACTION)] * 3
    [told] = drains.read_text().splitlines()
    *begin, deadline = told.rstrip("|").split("|")
    assert begin == [
        "drain-node", "--node-id", "f00d", "--reason", "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message", "AWS takes this spot machine away", "--deadline-remaining-seconds",
    ]  # fmt: skip
    assert 100 <= int(deadline) <= 120


@pytest.mark.parametrize("action", ["stop", "hibernate"])
def test_machines_that_are_stopped_are_taken_away_too(service: Service, action: str) -> None:
    service.notices = [going(action)]
    assert spot.notice(service.address) is not None


def test_it_says_so_again_until_ray_has_heard_and_a_notice_may_be_late(
    service: Service, node: psutil.Process, drains: Path
) -> None:
    service.notices = [going(seconds=-30)]
    (drains.parent / "failures").write_text("\n\n")
    spot.watch({"f00d": node}, service.address, 0.01)
    assert service.asked == [("PUT", TOKEN), ("GET", ACTION)]
    assert [line.split("|")[-2] for line in drains.read_text().splitlines()] == ["0"] * 3


@pytest.mark.parametrize(
    "answer",
    [
        "", "<html>log in</html>", "[]", "null", "7", "two\nlines", "\u2603", "[" * 9000,
        json.dumps({"action": "terminate"}), json.dumps({"time": "2026-01-01T00:00:00Z"}),
        json.dumps({"action": "terminate", "time": 7}),
        json.dumps({"action": "terminate", "time": "soon"}),
        json.dumps({"action": "terminate", "time": "0001-01-01T00:00:00+23:59"}),
        pytest.param(going("rebalance"), id="another action"),
    ],
)  # fmt: skip
def test_what_is_not_awss_notice_is_none(service: Service, answer: str) -> None:
    service.notices = [answer]
    assert spot.notice(service.address) is None
    service.broken = answer
    assert spot.notice(service.address) is None


def test_where_nothing_answers_it_is_quiet_and_ends_with_ray(
    node: psutil.Process, drains: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    [nobody] = free_ports(1)
    watching = Thread(
        target=spot.watch, args=({"f00d": node}, f"http://127.0.0.1:{nobody}", 0.01), daemon=True
    )
    watching.start()
    time.sleep(0.3)
    assert watching.is_alive()
    node.kill()
    node.wait()
    watching.join(timeout=10)
    assert not watching.is_alive()
    assert (caplog.text, drains.read_text()) == ("", "")


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The scratch folder of a real Ray, which asks for a token; `ray` is about it."""
    files = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # names of sockets must be short
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    known = {
        "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a1" * 32, "RAY_TMPDIR": str(files),
        "RAY_USAGE_STATS_ENABLED": "0",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    [port] = free_ports(1)
    head = f"ray start --head --port={port} --num-cpus=0 --include-dashboard=false {STORE}"
    try:
        subprocess.run(head.split(), check=True, capture_output=True)
        yield files
    finally:
        for process in psutil.process_iter(["environ"]):
            if (process.info["environ"] or {}).get("RAY_TMPDIR") == str(files):
                process.kill()
        shutil.rmtree(files, ignore_errors=True)


def nodes_of(ray: Path) -> dict[str, psutil.Process]:
    """Its own alone: other tests may have theirs."""
    return {n: p for n, p in spot.nodes_here().items() if str(ray) in str(p.cmdline())}


DEATHS = """
from ray._private import services
from ray._private.state import GlobalState

state = GlobalState()
address = services.canonicalize_bootstrap_address_or_die(None)
state._initialize_global_state(services._get_gcs_client_options(address))
print({n["NodeID"]: n["DeathReasonMessage"] for n in state.node_table() if not n["Alive"]})
"""


def deaths() -> str:
    """Which nodes are gone, and why, as Ray's control store knows it."""
    command = [sys.executable, "-c", DEATHS]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.slow
def test_ray_drains_the_node_that_aws_takes_away(ray: Path, service: Service) -> None:
    """An idle node ends at once, for the reason that it was drained for."""
    [(name, process)] = nodes_of(ray).items()
    service.notices = [going()]
    spot.watch({name: process}, service.address)
    assert deaths() == str({name: "AWS takes this spot machine away"})


@pytest.mark.slow
def test_ray_itself_drains_the_node_whose_pod_kubernetes_ends(ray: Path) -> None:
    """By the command that KubeRay gives a worker's pod."""
    [head] = nodes_of(ray)
    address = (ray / "ray" / "ray_current_cluster").read_text()
    command = f"ulimit -n 1024; ray start --block --address={address} --num-cpus=1 {STORE}"
    pod = subprocess.Popen(["/bin/bash", "-c", "--", command], stdout=subprocess.PIPE, text=True)
    assert pod.stdout is not None
    while "--block" not in pod.stdout.readline():  # it says so when all is up
        assert pod.poll() is None
    [worker] = nodes_of(ray).keys() - {head}
    pod.terminate()
    pod.wait(timeout=60)
    assert deaths() == str({worker: "Node received SIGTERM; draining before shutdown."})
