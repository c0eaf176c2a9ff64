"""Where a thread's time goes: what each piece of work takes without those inside it."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any

OUTSIDE = "outside"


class Pieces:
    """Watches functions in one thread; each counts for its piece, and the rest for `OUTSIDE`."""

    def __init__(self) -> None:
        self.cpu: defaultdict[str, float] = defaultdict(float)
        """Seconds that the thread computed."""
        self.wall: defaultdict[str, float] = defaultdict(float)
        """Seconds that passed."""
        self.calls: Counter[str] = Counter()
        self._now = OUTSIDE
        self._thread = threading.get_ident()
        self._since = time.thread_time(), time.perf_counter()

    def watch(self, owner: Any, names: str, piece: str) -> None:
        """Has the methods or functions `names` of a class or module count for `piece`."""
        for name in names.split():
            setattr(owner, name, self._watched(getattr(owner, name), piece))

    def stop(self) -> None:
        """Counts until now."""
        self._turn_to(self._now)

    def _watched(self, function: Callable[..., Any], piece: str) -> Callable[..., Any]:
        @wraps(function)
        def counted(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return function(*arguments, **named)
            before = self._now
            self.calls[piece] += 1
            self._turn_to(piece)
            try:
                return function(*arguments, **named)
            finally:
                self._turn_to(before)

        return counted

    def _turn_to(self, piece: str) -> None:
        cpu, wall = time.thread_time(), time.perf_counter()
        self.cpu[self._now] += cpu - self._since[0]
        self.wall[self._now] += wall - self._since[1]
        self._now, self._since = piece, (cpu, wall)


def watch_driver() -> Pieces:
    """The pieces of a study's driver, from now on in this process; what is simulated is outside."""
    from optuna.samplers import TPESampler

    from benchmarks.driver import Driver
    from tune_diffreg.results import Journal
    from tune_diffreg.search.halving import Halving
    from tune_diffreg.search.proposals import Proposals
    from tune_diffreg.search.tpe import BoundedTPESampler
    from tune_diffreg.study import Study

    pieces = Pieces()
    pieces.watch(Driver, "_timed", "all else")
    pieces.watch(os, "fsync", "waiting for the disk")
    pieces.watch(Journal, "append", "journal")
    pieces.watch(Halving, "report promotable release drop_hopeless paused", "rungs")
    pieces.watch(Proposals, "ask report tell save add_finished", "Optuna's study and file")
    for sampler in (TPESampler, BoundedTPESampler):
        pieces.watch(sampler, "sample_independent", "choosing settings (TPE)")
    pieces.watch(Driver, "_tell", "display and observer")
    pieces.watch(Study, "trial_config", "checking configurations")
    return pieces
