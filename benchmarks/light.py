"""A trial's actor that trains nothing and imports no torch, so that a machine holds many."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from ray import tune

WAITED = "waited_seconds"
MEMORY = "memory_mb"


@dataclass(frozen=True)
class LightShared:
    """What the driver gives to every actor.

    Attributes:
        scores: names of what a trial reports; the first is the objective.
        pause: seconds from one result to the next.
        gate: folder in which each actor makes a file; none begins before all are there.
        actors: how many these are.
    """

    rungs: tuple[int, ...]
    scores: tuple[str, ...]
    pause: float
    gate: str
    actors: int


class LightActor(tune.Trainable):  # type: ignore[misc]
    """Reports at every rung how long its slot had been free, and its memory in MiB.

    The former is negative for the first trial of an actor.
    """

    _free_since: float | None = None
    _waited = -1.0
    _fresh = True

    def setup(self, config: dict[str, Any], shared: LightShared | None = None) -> None:
        assert shared is not None
        self._shared = shared
        Path(shared.gate, str(os.getpid())).touch()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self._free_since is None:
            self._wait_for_all()
        elif self._fresh:
            self._waited = time.time() - self._free_since
        self._fresh = False
        time.sleep(self._shared.pause)
        rung = self._ahead.pop(0)
        luck = (int(self._trial_id[1:]) * 0.618 + rung * 0.414) % 1
        found = dict.fromkeys(self._shared.scores, luck)
        found[self._shared.scores[0]] = 40 + 40 * luck + 2e4 / rung
        found["memorized_fraction"] = 0.03 * luck
        found[WAITED] = self._waited
        found[MEMORY] = psutil.Process().memory_full_info().uss / 2**20
        self._free_since = time.time()
        return {
            "images": rung, "seconds": self._shared.pause, "rung": rung, "scores": found,
            "machine": "one", "exits": False,
        }  # fmt: skip

    def _wait_for_all(self) -> None:
        while sum(1 for _ in Path(self._shared.gate).iterdir()) < self._shared.actors:
            time.sleep(0.5)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Nothing is learned."""

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        """Nothing, likewise."""

    def _begin(self, config: dict[str, Any]) -> None:
        self._trial_id: str = config["trial_id"]
        self._ahead = [r for r in self._shared.rungs if r > max(config["reported"], default=0)]
        self._fresh = True
