"""What goes wrong under a study of one trial at a time leaves the table of one undisturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

from tests.conftest import run_cli, tiny_run
from tests.test_faults import (
    actors,
    children,
    command_of,
    journal,
    records,
    reports,
    start,
    wait_for,
)

pytestmark = [pytest.mark.slow, pytest.mark.drill, pytest.mark.timeout(600)]

# One trial at a time, so that the order of decisions is fixed.
ALONE = [
    "training.images=3840", "halving.first_rung=960", "search.trials=3", "search.concurrent=1",
]  # fmt: skip
MEBIBYTE = 2**20


class Disk:
    """A file system of a few MB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Takes all that is left."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (MEBIBYTE, 4096, 1):
                while True:
                    try:
                        file.write(bytes(size))
                    except OSError:
                        break

    def fill_for(self, seconds: float, running: subprocess.Popen[str]) -> None:
        """The same all the time, since a study removes files too."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and running.poll() is None:
            self.fill()
            time.sleep(0.05)

    def empty(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("undisturbed")
    done = run_cli(*tiny_run(storage, *ALONE))
    assert done.returncode == 0, done.stdout + done.stderr
    return storage


def ended(running: subprocess.Popen[str], status: int = 0) -> str:
    """The screen of a study that ended with that status, and with no traceback."""
    try:
        screen, _ = running.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        running.kill()
        pytest.fail(running.communicate()[0])
    assert running.returncode == status, screen
    assert "Traceback" not in screen
    assert "Logging error" not in screen
    return screen


def same_table(storage: Path, undisturbed: Path) -> None:
    """The same trials with the same decisions and scores, and MLflow knows each once."""
    found, wanted = records(storage), records(undisturbed)
    assert [(r.id, r.values, r.state) for r in found.values()] == [
        (r.id, r.values, r.state) for r in wanted.values()
    ]
    for record in wanted.values():
        assert [(r.images, r.scores, r.decision) for r in found[record.id].reports] == [
            (r.images, r.scores, r.decision) for r in record.reports
        ]
    assert children(storage) == [(r.id, r.state) for r in wanted.values()]


def test_a_disk_that_is_full_for_a_while_costs_time_and_for_good_interrupts_the_study(
    disk: Disk, undisturbed: Path
) -> None:
    running = start(disk.path, *ALONE, "resources.storage_seconds=25")
    wait_for(disk.path, lambda events: reports(events) >= 1)
    disk.fill_for(15, running)
    before = journal(disk.path)
    disk.fill_for(2, running)
    assert running.poll() is None
    assert journal(disk.path) == before
    disk.empty()
    wait_for(disk.path, lambda events: reports(events) > reports(before))

    disk.fill_for(100, running)
    screen = ended(running, 130)
    assert screen.count("The storage cannot be written (No space left on device)") == 2
    assert screen.count("The storage can be written again") == 1
    assert "The storage could not be written for 0:2" in screen
    assert "Nothing is lost." in screen
    assert f"tune-diffreg resume digits --storage {disk.path}" in screen
    again = run_cli("resume", "digits", "--storage", disk.path)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "cannot be written (No space left on device)" in again.stderr
    disk.empty()
    again = run_cli("resume", "digits", "--storage", disk.path)
    assert again.returncode == 0, again.stdout + again.stderr
    same_table(disk.path, undisturbed)


def test_a_trial_goes_on_in_another_process_when_its_own_dies_or_hangs(
    tmp_path: Path, undisturbed: Path
) -> None:
    running = start(tmp_path, *ALONE, "resources.hang_seconds=20")
    wait_for(tmp_path, lambda events: reports(events) >= 1)
    (killed,) = actors(running)
    killed.kill()
    wait_for(tmp_path, lambda events: reports(events) >= 2)
    (hanging,) = actors(running)
    hanging.send_signal(signal.SIGSTOP)
    screen = ended(running)
    assert "goes on from its checkpoint: its process died" in screen
    assert "goes on from its checkpoint: it gave no sign of life for 0:20" in screen
    assert not hanging.is_running()
    same_table(tmp_path, undisturbed)


def test_a_trial_whose_process_dies_each_time_fails_alone(tmp_path: Path) -> None:
    running = start(tmp_path, *ALONE, "training.images=64000", "halving.first_rung=32000")
    killed = set[int]()
    while len(killed) < 3:
        for actor in actors(running):
            if actor.pid not in killed:
                time.sleep(1)
                actor.kill()
                killed.add(actor.pid)
        time.sleep(0.1)
    wait_for(tmp_path, lambda events: any(e["event"] == "end" for e in events))
    running.send_signal(signal.SIGINT)
    screen = ended(running, 130)
    first, *others = records(tmp_path).values()
    assert (first.state, first.reason) == ("failed", "its process died, 3 times in a row")
    assert all(record.state == "running" for record in others)
    assert screen.count("t0000 unregularized goes on from its checkpoint: its process died") == 2


EATER = """
import torch
from torch import nn
from tune_diffreg.diffusion import Branch

class Eater(nn.Module):
    def __init__(self, mebibytes):
        super().__init__()
        self.time = nn.Linear(1, 1)
        self.branch = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 1, 3, padding=1)
        )
        self.mebibytes, self.calls, self.eaten = mebibytes, 0, []

    def forward(self, images, timesteps):
        self.calls += self.training
        if self.mebibytes and self.calls > 10:  # not before it has been tried out
            self.eaten.append(torch.ones(self.mebibytes * 2**18))
        level = self.time(timesteps[:, None] / 1000)
        return images + self.branch(images + level[:, :, None, None])

    def residual_branches(self):
        return [Branch(self.branch[2], dropout=self.branch[1])]

    def noise_embeddings(self):
        return [self.time]

def eater(in_channels, sample_size, mebibytes=0):
    return Eater(mebibytes)
"""


def eating(tmp_path: Path, mebibytes: list[int], *overrides: str) -> subprocess.Popen[str]:
    """A study with trials that take so much more at each step, and one that does not."""
    (tmp_path / "eaters.py").write_text(EATER)
    model = "{in_channels: 1, sample_size: 8, factory: 'eaters:eater'}"
    hungry = ", ".join(f"by{n}: {{model.arguments: {{mebibytes: {n}}}}}" for n in mebibytes)
    return start(
        tmp_path, *ALONE, f"model={model}", f"search.trials={len(mebibytes) + 1}",
        "search.space={optimizer.weight_decay: {low: 0.1, high: 1.0}}",
        f"search.baselines={{{hungry}}}", *overrides, cwd=tmp_path,
    )  # fmt: skip


def test_a_trial_that_takes_more_memory_than_it_may_fails_alone(tmp_path: Path) -> None:
    step_by_step, at_once = 100, 20_000
    screen = ended(eating(tmp_path, [step_by_step, at_once], "resources.memory=2"))
    *hungry, other = records(tmp_path).values()
    for record in hungry:
        assert record.state == "failed"
        assert (record.reason or "").startswith("needed more than resources.memory 2 GiB")
    assert other.state == "complete"
    assert "goes on from its checkpoint" not in screen


def test_a_trial_that_ray_ends_for_want_of_memory_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = psutil.virtual_memory()
    allowed = (memory.total - memory.available + 4 * 2**30) / memory.total
    if allowed > 0.9:
        pytest.skip("too little memory is free on this machine")
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{allowed:.3f}")
    ended(eating(tmp_path, [100]))
    hungry, other = records(tmp_path).values()
    assert hungry.state == "failed"
    assert (hungry.reason or "").startswith("its machine ran out of memory")
    assert other.state == "complete"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head without trials and two machines with a place for one."""
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(2):
            found.add_node(num_cpus=1)
        yield found
    finally:
        found.shutdown()


def busy(cluster: Cluster) -> tuple[str, psutil.Process]:
    """The machine whose process trains: Ray's name for it, and its raylet."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for node in cluster.worker_nodes:
            raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
            with suppress(psutil.NoSuchProcess):
                if any("Trainable.train" in " ".join(command_of(p)) for p in raylet.children()):
                    return node._node_id, raylet
        time.sleep(0.2)
    raise AssertionError("nothing trains")


def test_machines_may_go_with_notice_and_without(
    tmp_path: Path, cluster: Cluster, undisturbed: Path
) -> None:
    running = start(tmp_path, *ALONE, arguments=["--address", cluster.address])
    wait_for(tmp_path, lambda events: reports(events) >= 1)
    name, raylet = busy(cluster)
    accepted, _ = GcsClient(address=cluster.address).drain_node(
        name, DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION"), "spot", 0
    )
    assert accepted
    deadline = time.monotonic() + 60
    while busy(cluster)[0] == name:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    with suppress(psutil.NoSuchProcess):  # Ray ends a drained machine once nothing runs there
        raylet.kill()
    so_far = reports(journal(tmp_path))
    cluster.add_node(num_cpus=1)
    wait_for(tmp_path, lambda events: reports(events) > so_far)
    busy(cluster)[1].kill()
    screen = ended(running)
    assert "goes on from its checkpoint: its machine is being taken away" in screen
    same_table(tmp_path, undisturbed)
