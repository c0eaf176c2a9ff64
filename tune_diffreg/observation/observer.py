"""Listens to a study's events and tells of them: log, `live.json`, gauges. Never hurts a study."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Self

from tune_diffreg.mirror import mirror_of, publish_growth
from tune_diffreg.observation.gauges import Gauges
from tune_diffreg.observation.live import write_live
from tune_diffreg.observation.log import EventLog
from tune_diffreg.observation.pulse import Pulse
from tune_diffreg.results import StudyFolder, repetitions, replay
from tune_diffreg.results.journal import Event
from tune_diffreg.study import Study
from tune_diffreg.terminal.board import Board

log = logging.getLogger(__name__)

_SECONDS = 5.0
_SECONDS_ELSEWHERE = 20.0  # a request to a storage that is no folder is not for nothing
_LAST_SECONDS = 10.0


class Observer:
    """A listener for as long as it is entered.

    Args:
        events: of the study's journal so far.
        waiting: how many records MLflow has not taken.
    """

    def __init__(
        self,
        study: Study,
        folder: StudyFolder,
        events: Iterable[Event],
        waiting: Callable[[], int],
    ) -> None:
        known = list(events)
        self.state = "interrupted"
        """Of the study when it is left."""
        self._folder = folder
        self._waiting = waiting
        board = Board(study, replay(known), repetitions(known))
        self._pulse = Pulse(board, time.monotonic())
        self._log = EventLog(study)
        self._gauges = Gauges(study.name)
        self._lock = threading.RLock()  # an interrupt's event may come while another is noted
        self._leaving = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="live.json", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, KeyboardInterrupt):
            log.error("the study breaks off", exc_info=(type(error), error, trace))
        self._leaving.set()
        self._thread.join(_LAST_SECONDS)

    def __call__(self, event: Event) -> None:
        try:
            self._log(event)
            with self._lock:
                self._pulse.note(event, time.monotonic())
        except Exception:
            log.exception("an event was not observed")

    def _tell(self) -> None:
        elsewhere = mirror_of(self._folder.root) is not None
        troubled = False
        while True:
            leaving = self._leaving.is_set()
            try:
                self._write(self.state if leaving else "running")
                if elsewhere:
                    publish_growth(self._folder.log)
                troubled = False
            except Exception:  # a full disk, above all; the study itself finds out
                if not troubled:
                    log.warning("live.json could not be written", exc_info=True)
                troubled = True
            if leaving:
                return
            self._leaving.wait(_SECONDS_ELSEWHERE if elsewhere else _SECONDS)

    def _write(self, state: str) -> None:
        waiting = self._waiting()
        with self._lock:
            live = self._pulse.snapshot(state, waiting, time.time(), time.monotonic())
        self._gauges.show(live)
        write_live(self._folder, live)
