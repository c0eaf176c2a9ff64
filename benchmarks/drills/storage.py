"""Faults of the storage: read-only or full, for a while or for good. Needs root."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.drills.processes import INTERRUPTED
from benchmarks.drills.scene import Scene

_SIZE = "96m"
"""Room for a small study, its MLflow store and its report."""


def read_only_for_a_while(scene: Scene) -> None:
    """The storage becomes read-only under a running study, and seconds later writable again."""
    scene.storage.mkdir()
    command = scene.run()
    scene.random_moment(command)
    with _read_only(scene.storage):
        time.sleep(scene.dice.uniform(1, 15))
    scene.ends(command, 0)


def read_only_for_good(scene: Scene) -> None:
    """The storage becomes read-only and stays so until the study has given up."""
    scene.storage.mkdir()
    command = scene.run("resources.storage_seconds=5")
    scene.random_moment(command, share=0.8)
    with _read_only(scene.storage):
        scene.ends(command, INTERRUPTED)
    scene.resume()


def full_for_a_while(scene: Scene) -> None:
    """Something else fills the storage under a running study, and seconds later goes away."""
    filler = _on_a_small_disk(scene)
    command = scene.run()
    scene.random_moment(command)
    _fill(filler)
    time.sleep(scene.dice.uniform(1, 15))
    filler.unlink()
    scene.ends(command, 0)


def full_for_good(scene: Scene) -> None:
    """The storage is full and stays so until the study has given up."""
    filler = _on_a_small_disk(scene)
    command = scene.run("resources.storage_seconds=5")
    scene.random_moment(command, share=0.8)
    _fill(filler)
    scene.ends(command, INTERRUPTED)
    filler.unlink()
    scene.resume()


def _on_a_small_disk(scene: Scene) -> Path:
    """Gives the drill a storage of little room, and the name of a file to fill it with."""
    scene.storage.mkdir()
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "drill", scene.storage], check=True
    )
    scene.on_close(lambda: _unmount(scene.storage))
    return scene.storage / "filler"


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """Whoever opens something in `folder` finds a read-only file system.

    A second mount of the same folder over itself, since a file system of which something is open
    for writing does not become read-only.
    """
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        yield
    finally:
        _unmount(folder)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", folder], check=True)


def _fill(path: Path) -> None:
    """Leaves no byte of room beside `path`."""
    block = bytes(1 << 16)
    with path.open("wb", buffering=0) as file:
        while block:
            try:
                file.write(block)
            except OSError:
                block = block[: len(block) // 2]
