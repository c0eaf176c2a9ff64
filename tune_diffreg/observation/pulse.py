"""Follows the events of a running study: signs of life, speed, how busy its machines are."""

from __future__ import annotations

import os
import socket
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tune_diffreg.observation.live import Live, LiveTrial
from tune_diffreg.results.journal import Event
from tune_diffreg.terminal.board import Board

WINDOW_SECONDS = 60.0
"""Over which images per second are counted."""

_SHOWN = ("images_per_second", "pid", "cpu", "device", "gpu")


@dataclass
class _Sign:
    """The last sign of life of a running trial in this session."""

    time: float
    images: int
    shown: dict[str, Any]


class Pulse:
    """What the trials of one session do, kept up to date by its events.

    All times are seconds of one clock that only goes forward.

    Args:
        board: of the study as it was; this keeps it up to date.
        now: when the session begins.
    """

    def __init__(self, board: Board, now: float) -> None:
        self._board = board
        self._began = now
        self._signs: dict[str, _Sign] = {}
        self._from: dict[str, int] = {}  # images that a trial begins at, where that is known
        self._seen: deque[tuple[float, int]] = deque()  # images that were added, and when
        self._restarts: Counter[str] = Counter()
        self._longest_pause = 0.0

    def note(self, event: Event, now: float) -> None:
        """Takes one event in."""
        self._board.note(event)
        kind = event["event"]
        name: str = event.get("run") or event.get("trial", "")
        if kind in ("progress", "repeating"):
            self._sign(name, event, now)
        elif kind in ("start", "repeat"):
            self._from[name] = 0
        elif kind == "promote":
            self._from[name] = self._board.records[name].images
        elif kind in ("again", "repeat_again"):
            self._forget(name)
            self._restarts[name] += 1
        elif kind in ("end", "repeated", "repeat_failed") or event.get("decision") == "pause":
            self._forget(name)

    def snapshot(self, state: str, waiting: int, time: float, now: float) -> Live:
        """The study at this moment.

        Args:
            state: of the study.
            waiting: records that MLflow has not taken.
            time: seconds since 1970.
        """
        counts = asdict(self._board.counts)
        planned = counts.pop("total")
        return Live(
            time=time,
            study=self._board.study.name,
            state=state,
            host=socket.gethostname(),
            pid=os.getpid(),
            trials={**counts, "planned": planned},
            images_per_second=self._throughput(now),
            longest_pause_s=round(self._longest_pause, 1),
            running=tuple(self._running(now)),
            waiting=waiting,
        )

    def _sign(self, name: str, event: Event, now: float) -> None:
        images, before = event["images"], self._signs.get(name)
        first = self._from.pop(name, images) if before is None else before.images
        if before is not None:
            self._longest_pause = max(self._longest_pause, now - before.time)
        self._seen.append((now, max(0, images - first)))  # less, where an older checkpoint was used
        shown = {key: event.get(key) for key in _SHOWN} | {"host": event.get("hostname")}
        self._signs[name] = _Sign(now, images, shown)

    def _forget(self, name: str) -> None:
        self._signs.pop(name, None)
        self._from.pop(name, None)

    def _throughput(self, now: float) -> float:
        while self._seen and self._seen[0][0] < now - WINDOW_SECONDS:
            self._seen.popleft()
        elapsed = min(WINDOW_SECONDS, now - self._began)
        images = sum(images for _, images in self._seen)
        return round(images / elapsed, 1) if elapsed > 0 else 0.0

    def _running(self, now: float) -> Iterator[LiveTrial]:
        trials = [(record.id, images) for record, images in self._board.running]
        trials += [(run.id, images) for run, images in self._board.repeating]
        for name, images in trials:
            sign, restarts = self._signs.get(name), self._restarts[name]
            if sign is None:
                yield LiveTrial(trial=name, images=images, restarts=restarts)
            else:
                silent = round(max(0.0, now - sign.time), 1)
                yield LiveTrial(
                    trial=name, images=images, silent_s=silent, restarts=restarts, **sign.shown
                )
