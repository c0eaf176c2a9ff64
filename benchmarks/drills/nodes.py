"""Faults of whole nodes of a cluster: killed, or taken away with notice."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import suppress

from benchmarks.drills.cluster import Cluster, Node
from benchmarks.drills.command import Command
from benchmarks.drills.scene import Missed, Scene

_NOTICE_SECONDS = 10
_PREEMPTIONS = 3
"""More than a trial may die without notice before it counts as failed."""


def raylet_killed(scene: Scene) -> None:
    """SIGKILL of the raylet of a node that runs a trial; the other node takes it over."""
    cluster, command = _study_on_a_cluster(scene)
    scene.random_moment(command, share=0.7)
    _busy_worker(scene, cluster, command).raylet().kill()
    scene.ends(command, 0)


def head_killed(scene: Scene) -> None:
    """The head node is gone with all its processes, the driver among them; another one starts."""
    cluster, command = _study_on_a_cluster(scene)
    scene.random_moment(command)
    cluster.head.kill()
    command.signal(signal.SIGKILL)
    scene.ends(command, -signal.SIGKILL)
    _goes_on_elsewhere(scene)


def head_killed_under_the_driver(scene: Scene) -> None:
    """The head node is gone, and the driver, on another machine, has to notice by itself."""
    cluster, command = _study_on_a_cluster(scene)
    scene.random_moment(command, share=0.8)
    cluster.head.kill()
    scene.ends(command, 1, 130)
    _goes_on_elsewhere(scene)


def preempted(scene: Scene) -> None:
    """A node is drained and, after its notice, gone; another joins. Several times in one study."""
    cluster, command = _study_on_a_cluster(scene)
    with suppress(Missed):  # the study may be over before the last of them
        for _ in range(_PREEMPTIONS):
            time.sleep(scene.dice.uniform(0, 5))
            node = _busy_worker(scene, cluster, command)
            _drain(scene, cluster, node)
            scene.moments.append(f"after {scene.decisions()} decisions")
            cluster.add_worker()
            time.sleep(_NOTICE_SECONDS)
            cluster.remove(node)
    scene.ends(command, 0)


def _study_on_a_cluster(scene: Scene) -> tuple[Cluster, Command]:
    cluster = Cluster(scene)
    scene.address = cluster.address
    return cluster, scene.run()


def _goes_on_elsewhere(scene: Scene) -> None:
    """Resumes the study on a new cluster; what is left of the old one is no longer needed."""
    scene.kill_all()
    scene.address = Cluster(scene).address
    scene.resume()


def _busy_worker(scene: Scene, cluster: Cluster, command: Command) -> Node:
    """One that runs a trial, as soon as there is one."""
    scene.wait(lambda: any(node.trials() for node in cluster.workers), command)
    return scene.dice.choice([node for node in cluster.workers if node.trials()])


def _drain(scene: Scene, cluster: Cluster, node: Node) -> None:
    """Tells Ray, as a cloud does, that a node will be gone."""
    subprocess.run(
        [
            sys.executable, "-m", "ray.scripts.scripts", "drain-node",
            "--address", cluster.address, "--node-id", node.id(),
            "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "a drill",
            "--deadline-remaining-seconds", str(_NOTICE_SECONDS),
        ],
        check=True, capture_output=True, env=scene.environment,
    )  # fmt: skip
