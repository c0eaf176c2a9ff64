"""Faults of what a trial goes on from."""

from __future__ import annotations

import signal
from pathlib import Path

from benchmarks.drills.processes import KILLED
from benchmarks.drills.scene import Missed, Scene
from tune_diffreg.search.checkpoint import BEFORE, LATEST


def cut_short(scene: Scene) -> None:
    """The driver is killed, and each checkpoint there is loses its end."""
    for path in _left_by_a_killed_driver(scene):
        content = path.read_bytes()
        path.write_bytes(content[: scene.dice.randrange(len(content))])
    scene.resume()


def flipped_bits(scene: Scene) -> None:
    """The driver is killed, and in each checkpoint there is some bits change."""
    for path in _left_by_a_killed_driver(scene):
        content = bytearray(path.read_bytes())
        for _ in range(scene.dice.randint(1, 8)):
            content[scene.dice.randrange(len(content))] ^= 1 << scene.dice.randrange(8)
        path.write_bytes(content)
    scene.resume()


def _left_by_a_killed_driver(scene: Scene) -> list[Path]:
    """The latest checkpoints, at a random moment at which there is one; half of the time with those
    before them, so that a trial has nothing left."""
    command = scene.run()
    scene.random_moment(command, share=0.7)
    scene.wait(lambda: _found(scene, LATEST), command)
    command.signal(signal.SIGKILL)
    scene.ends(command, KILLED)
    scene.kill_all()  # or an orphan would put a whole one in its place
    found = _found(scene, LATEST)
    if not found:
        raise Missed("the trial ended while its driver was killed")
    return found + (_found(scene, BEFORE) if scene.dice.random() < 0.5 else [])


def _found(scene: Scene, name: str) -> list[Path]:
    return sorted((scene.folder.root / "trials").glob(f"*/{name}"))
