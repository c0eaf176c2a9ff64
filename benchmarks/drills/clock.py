"""The machine's clock is set back while a study runs."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from benchmarks.drills.processes import KILLED
from benchmarks.drills.scene import Scene

_BACK_SECONDS = 3600

# Python runs a module of this name before any program: here the driver, Ray's processes and trials.
_SHIM = """
import os, time
_real = time.time
def _set(): return os.path.exists({flag!r})
time.time = lambda: _real() - ({back} if _set() else 0)
"""


def set_back(scene: Scene) -> None:
    """`time.time` falls back by an hour in the driver, in Ray's processes and in the trials."""
    flag = _clock(scene)
    command = scene.run()
    scene.random_moment(command, share=0.8)
    flag.touch()
    scene.ends(command, 0)


def set_back_and_killed(scene: Scene) -> None:
    """The same, and then SIGKILL of the command: what goes on is an hour before what it reads."""
    flag = _clock(scene)
    command = scene.run()
    scene.random_moment(command, share=0.8)
    flag.touch()
    time.sleep(scene.dice.uniform(0, 5))
    command.signal(signal.SIGKILL)
    scene.ends(command, KILLED)
    scene.resume()


def _clock(scene: Scene) -> Path:
    """The file that sets back the clock of all that the drill starts, once it is there."""
    flag = scene.root / "clock-is-back"
    shim = scene.root / "shim"
    shim.mkdir()
    (shim / "sitecustomize.py").write_text(_SHIM.format(flag=str(flag), back=_BACK_SECONDS))
    path = scene.environment.get("PYTHONPATH", "")
    scene.environment["PYTHONPATH"] = f"{shim}:{path or Path.cwd()}"
    return flag
