"""`ray up cluster.yaml` against an imitation of AWS, whose machines are folders of this one.

EC2, IAM and S3 are moto's. Ray's launcher, its autoscaler, the commands of `cluster.yaml`, the
scripts that they call and the Ray that they start are the real ones.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import ray
import requests
from moto.ec2.models import instance_types
from moto.server import ThreadedMotoServer

from tests.conftest import ROOT

STAND_INS = Path(__file__).parent / "stand_ins"
REGION = "us-east-1"
TRIAL = """
import os
import ray

ray.init("auto", logging_level="ERROR")
have = lambda: [ray.cluster_resources().get(kind, 0) for kind in ("CPU", "GPU")]
before = have()
trial = ray.remote(num_gpus=1)(lambda: (os.environ["HOME"], os.environ["RAY_USAGE_STATS_ENABLED"]))
home, reports = ray.get(trial.remote(), timeout=240)
print(f"{before} became {have()}; the trial ran in {home}, usage reports {reports}")
print(f"driven from {os.environ['HOME']}, to {os.environ['TUNE_DIFFREG_STORAGE']}")
"""


@dataclass(frozen=True)
class Laptop:
    """Where `ray up` is typed, and what it reaches."""

    environment: dict[str, str]
    nodes: Path
    file: Path

    def bash(self, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=self.environment | environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, start_new_session=True,
            timeout=300,
        )  # fmt: skip

    def ray(self, command: str) -> str:
        done = self.bash(f"ray {command}")
        assert done.returncode == 0, done.stdout
        return done.stdout

    def ask(self, token: str, path: str = "", **body: str) -> requests.Response:
        """The Jobs API on the head, as through a tunnel to its loopback."""
        url = f"http://127.0.0.1:{self.environment['DASHBOARD_PORT']}/api/jobs/{path}"
        headers = {"Authorization": f"Bearer {token}"}
        method = "POST" if body else "GET"
        return requests.request(method, url, json=body or None, headers=headers, timeout=60)

    def log(self, node: Path) -> list[str]:
        return (node / "log").read_text().splitlines()

    def homes(self) -> list[Path]:
        return sorted(self.nodes.iterdir(), key=lambda home: home.stat().st_ctime)

    def homes_where(self, script: str) -> list[str]:
        """Those of the machines that run it."""
        running = [p for p in psutil.process_iter(["cmdline"]) if script in str(p.info["cmdline"])]
        known = [_environment(process) for process in running]
        return [own["HOME"] for own in known if own.get("NODES") == str(self.nodes)]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the imitation answers; it has a bucket and the roles that docs/cluster.md makes."""
    known = instance_types.INSTANCE_TYPES
    few = {name: known[name] for name in ("m7i.xlarge", "g6.2xlarge")}
    monkeypatch.setattr(instance_types, "INSTANCE_TYPES", few)  # to list all takes it 10 seconds
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    iam = boto3.client("iam", region_name=REGION, endpoint_url=url)
    for name in ("ray-autoscaler-v1", "tune-diffreg-worker"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
        iam.create_instance_profile(InstanceProfileName=name)
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    boto3.client("s3", region_name=REGION, endpoint_url=url).create_bucket(Bucket="bucket")
    yield url
    server.stop()


@pytest.fixture
def laptop(aws: str, tmp_path: Path) -> Iterator[Laptop]:
    text = (ROOT / "cluster.yaml").read_text()
    for old, new in {"s3://BUCKET": "s3://bucket", "us-west-2": REGION}.items():
        assert text.count(old) >= 1
        text = text.replace(old, new)
    (tmp_path / "cluster.yaml").write_text(text)
    (tmp_path / "home").mkdir()
    (tmp_path / "nodes").mkdir()
    short = tempfile.mkdtemp(prefix="up-", dir="/tmp")  # names of sockets must be short
    ports = dict(zip(("HEAD_PORT", "DASHBOARD_PORT", "CLIENT_PORT"), _free_ports(), strict=False))
    real = str(Path(sys.executable).parent)
    environment = {
        "HOME": str(tmp_path / "home"), "PATH": f"{real}:{STAND_INS}:/usr/bin:/bin",
        "NODES": str(tmp_path / "nodes"), "STAND_INS": str(STAND_INS), "REAL_BIN": real,
        "PYTHONPATH": str(ROOT), "RAY_TMPDIR": short, "TMPDIR": short,
        "AWS_ENDPOINT_URL": aws, "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
        **ports,
    }  # fmt: skip
    yield Laptop(environment, tmp_path / "nodes", tmp_path / "cluster.yaml")
    for process in psutil.process_iter():
        if _environment(process).get("NODES") == environment["NODES"]:
            process.kill()
    shutil.rmtree(short, ignore_errors=True)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:
        return {}


def _free_ports() -> list[str]:
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        return [str(server.getsockname()[1]) for server in servers]


def _instances(aws: str) -> list[dict[str, Any]]:
    ec2 = boto3.client("ec2", region_name=REGION, endpoint_url=aws)
    found = [i for r in ec2.describe_instances()["Reservations"] for i in r["Instances"]]
    return [i for i in found if i["State"]["Name"] != "terminated"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_cluster_comes_up_grows_for_a_pending_trial_and_goes(laptop: Laptop, aws: str) -> None:
    made = laptop.bash("(umask 077; ray get-auth-token --generate > /dev/null)")
    assert made.returncode == 0, made.stdout
    laptop.ray(f"up --yes {laptop.file}")

    [head] = laptop.homes()
    token = Path(laptop.environment["HOME"]) / ".ray" / "auth_token"
    copy = head / ".ray" / "auth_token"
    assert copy.read_text() == token.read_text()
    assert oct(copy.stat().st_mode)[-3:] == oct(token.stat().st_mode)[-3:] == "600"
    install, stop, *started = laptop.log(head)
    mlflow, start = sorted(started)
    checkout = head / "tune-diffreg"
    assert install.endswith(f"--constraint {checkout}/constraints.txt {checkout} boto3")
    assert not list(checkout.rglob("__pycache__"))
    assert stop == "ray stop"
    assert "--host 127.0.0.1" in mlflow
    assert mlflow.endswith("--artifacts-destination s3://bucket/studies/mlflow-artifacts")
    assert "--dashboard-host=127.0.0.1" in start

    (laptop.nodes.parent / "trial.py").write_text(TRIAL)
    said = _job(laptop, f"python {laptop.nodes.parent}/trial.py", token.read_text())
    worker = laptop.homes()[-1]
    assert worker != head
    assert f"[0, 0] became [8.0, 1.0]; the trial ran in {worker}, usage reports 0" in said
    assert f"driven from {head}, to s3://bucket/studies" in said
    assert laptop.log(worker) == [
        install.replace(str(head), str(worker)), "ray stop",
        f"ray start --address={_head_ip()}:6379 --metrics-export-port=8090",
    ]  # fmt: skip
    assert laptop.homes_where("spot.py") == [str(worker)]
    machines = {i["InstanceType"]: i for i in _instances(aws)}
    assert len(machines) == len(_instances(aws)) == 2
    assert "InstanceLifecycle" not in machines["m7i.xlarge"]
    spot = machines["g6.2xlarge"]
    assert spot["InstanceLifecycle"] == "spot"
    assert spot["IamInstanceProfile"]["Arn"].endswith("/tune-diffreg-worker")

    assert laptop.ask("x" * 64).status_code == 403
    status = "ray status --address 127.0.0.1:$HEAD_PORT"
    refused = laptop.bash(status, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="x" * 64)
    assert refused.returncode != 0
    assert "InvalidAuthToken" in refused.stdout

    laptop.ray(f"down --yes {laptop.file}")
    assert laptop.log(head)[-1] == "ray stop"
    assert _instances(aws) == []


def _job(laptop: Laptop, command: str, token: str) -> str:
    """What a submitted driver prints until it ends."""
    until = time.monotonic() + 300
    while (asked := laptop.ask(token, entrypoint=command)).status_code != 200:
        assert "No available agent" in asked.text, asked.text  # it is still starting
        assert time.monotonic() < until, asked.text
        time.sleep(0.5)
    job = asked.json()["submission_id"]
    while laptop.ask(token, job).json()["status"] not in ("SUCCEEDED", "FAILED"):
        assert time.monotonic() < until, laptop.ask(token, f"{job}/logs").text
        time.sleep(1)
    return str(laptop.ask(token, f"{job}/logs").json()["logs"])


def _head_ip() -> str:
    """What Ray takes for the address of the machine that the autoscaler runs on."""
    return str(ray.util.get_node_ip_address())
