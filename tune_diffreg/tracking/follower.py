"""A thread that follows a journal and delivers it, so that no training ever waits for MLflow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tune_diffreg.results import Best, StudyFolder
from tune_diffreg.study import Study
from tune_diffreg.tracking.problems import reason
from tune_diffreg.tracking.spool import Spool
from tune_diffreg.words import counted

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
ENDING_SECONDS = 60.0
"""The longest that the end of a study waits for MLflow."""

log = logging.getLogger(__name__)


class Deliverer(Protocol):
    """Brings a journal to MLflow, from where the last one of its kind ended."""

    def deliver(self) -> None:
        """Delivers all events that are in the journal now."""

    def finish(self, summary: dict[str, Any], model: Path | None = None) -> None:
        """Adds the results, and the exported model if there is one."""


@dataclass(frozen=True)
class Source:
    """A journal to be delivered.

    Attributes:
        make: a deliverer; called in the follower's thread, since importing MLflow takes seconds.
    """

    spool: Spool
    make: Callable[[], Deliverer]


@dataclass(frozen=True)
class Outcome:
    """What became of a delivery.

    Attributes:
        delivered: records that MLflow took.
        waiting: records that it has not, the results being one of them.
        problem: why it has not; empty if it has everything.
        refused: values that it will not take, in all deliveries.
        refusals: file that names those.
    """

    delivered: int
    waiting: int
    problem: str
    refused: int
    refusals: Path

    def sentences(self, later: str) -> list[str]:
        """What there is to say; `later` is what delivers the rest."""
        told = []
        if self.problem:
            wait = "waits" if self.waiting == 1 else "wait"
            told.append(
                f"MLflow has not taken everything ({self.problem}): "
                f"{counted(self.waiting, 'record')} {wait}. Deliver later with:  {later}"
            )
        if self.refused:
            told.append(
                f"MLflow refused {counted(self.refused, 'value')}; all others are there. "
                f"Which and why: {self.refusals}"
            )
        return told


class Follower:
    """Follows one journal until it is closed."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._closing = threading.Event()
        self._summary: dict[str, Any] | None = None
        self._model: Path | None = None
        self._delivery: Deliverer | None = None
        self._problem = ""
        self._thread = threading.Thread(target=self._follow, name="mlflow", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many events are in the journal and not in MLflow; asks nobody."""
        return self._source.spool.waiting()

    def close(
        self,
        summary: dict[str, Any] | None,
        model: Path | None = None,
        seconds: float | None = ENDING_SECONDS,
    ) -> Outcome:
        """Delivers what is left and the results, for at most `seconds`; None: until it is done."""
        self._summary, self._model = summary, model
        self._closing.set()
        self._thread.join(seconds)
        return self._outcome(f"it took longer than {seconds or 0:.0f} seconds")

    def leave(self) -> Outcome:
        """Waits no longer: what is under way ends with the process."""
        self._closing.set()
        return self._outcome("nobody waited for it")

    def _outcome(self, unfinished: str) -> Outcome:
        problem, spool = self._problem, self._source.spool
        if self._thread.is_alive():
            problem = problem or unfinished
        return Outcome(spool.delivered, spool.owed(), problem, spool.refused(), spool.refusals)

    def _follow(self) -> None:
        pause = _PAUSE_SECONDS
        while True:
            closing = self._closing.is_set()
            try:
                self._deliver(closing)
                self._problem = ""
                pause = _PAUSE_SECONDS
            except Exception as error:  # MLflow's stores raise whatever their backends raise
                self._problem = reason(error)
                log.warning("MLflow: %s", self._problem)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if closing:
                return
            self._closing.wait(pause)

    def _deliver(self, closing: bool) -> None:
        # After a failure it is not known what MLflow took: a new delivery looks.
        delivery = self._delivery or self._source.make()
        self._delivery = None
        delivery.deliver()
        if closing and self._summary is not None:
            delivery.finish(self._summary, self._model)
        self._delivery = delivery


def study_delivery(study: Study, folder: StudyFolder, live: bool = True) -> Source:
    """Of a study's journal; `live` if it is being run, by this machine."""
    spool = Spool(folder.journal, folder.delivery)

    def make() -> Deliverer:
        from tune_diffreg.tracking.delivery import Delivery

        return Delivery(study, folder, spool, live)

    return Source(spool, make)


def training_delivery(best: Best, history: Path, storage: Path, live: bool = True) -> Source:
    """Of a production training's."""
    spool = Spool(history, history.with_name("mlflow.json"))

    def make() -> Deliverer:
        from tune_diffreg.tracking.training import TrainingDelivery

        return TrainingDelivery(best, spool, storage, live)

    return Source(spool, make)
