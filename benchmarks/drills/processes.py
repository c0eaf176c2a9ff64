"""Faults of processes on one machine: killed, hung, interrupted."""

from __future__ import annotations

import signal
import time

import psutil

from benchmarks.drills.command import Command
from benchmarks.drills.scene import Scene

KILLED = -signal.SIGKILL
INTERRUPTED = 130
_HANG_SECONDS = 30
"""Six signs of life."""


def driver_killed(scene: Scene) -> None:
    """SIGKILL of the command; its Ray and its trials notice by themselves, and nobody waits."""
    command = scene.run()
    scene.random_moment(command)
    command.signal(signal.SIGKILL)
    scene.ends(command, KILLED)
    scene.resume()


def actor_killed(scene: Scene) -> None:
    """SIGKILL of the process of a trial; nobody resumes anything."""
    command = scene.run()
    _running_actor(scene, command).kill()
    scene.ends(command, 0)


def hung(scene: Scene) -> None:
    """SIGSTOP of the process of a trial, which then gives no sign of life for too long."""
    command = scene.run(f"resources.hang_seconds={_HANG_SECONDS}")
    _running_actor(scene, command).suspend()
    scene.ends(command, 0)


def interrupted_once(scene: Scene) -> None:
    """Ctrl-C."""
    command = scene.run()
    scene.random_moment(command)
    command.signal(signal.SIGINT)
    scene.ends(command, *_interrupted_or_just_over(scene))
    scene.resume()


def interrupted_twice(scene: Scene) -> None:
    """Ctrl-C, and again before the first has had its effect."""
    command = scene.run()
    scene.random_moment(command)
    command.signal(signal.SIGINT)
    time.sleep(scene.dice.uniform(0, 1))
    command.signal(signal.SIGINT)
    scene.ends(command, *_interrupted_or_just_over(scene))
    scene.resume()


def _interrupted_or_just_over(scene: Scene) -> tuple[int, ...]:
    """0 is right too where the study's last decision had been taken when the signal came."""
    ended = any(event["event"] == "stop" and event["finished"] for event in scene.events())
    return (INTERRUPTED, 0) if ended else (INTERRUPTED,)


def _running_actor(scene: Scene, command: Command) -> psutil.Process:
    """The process of a trial, at a random moment at which there is one."""
    scene.random_moment(command, share=0.8)
    scene.wait(command.actors, command)
    return scene.dice.choice(command.actors())
