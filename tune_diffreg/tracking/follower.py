"""A thread that follows a journal and delivers it, so that no training ever waits for MLflow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from tune_diffreg.results import Best, StudyFolder
from tune_diffreg.secrets import plain_line
from tune_diffreg.study import Study

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0

log = logging.getLogger(__name__)


class Deliverer(Protocol):
    """Brings a journal to MLflow, from where the last one of its kind ended."""

    def deliver(self) -> None:
        """Delivers all events that are in the journal now."""

    def finish(self, summary: dict[str, Any], model: Path | None = None) -> None:
        """Adds the results, and the exported model if there is one."""


class Follower:
    """Follows one journal until it is closed.

    Args:
        delivery: makes a deliverer; called in the thread, since importing MLflow takes seconds.
    """

    def __init__(self, delivery: Callable[[], Deliverer]) -> None:
        self._make = delivery
        self._closing = threading.Event()
        self._summary: dict[str, Any] | None = None
        self._model: Path | None = None
        self._delivery: Deliverer | None = None
        self._problem = ""
        self._thread = threading.Thread(target=self._follow, name="mlflow", daemon=True)
        self._thread.start()

    def close(
        self, summary: dict[str, Any] | None, model: Path | None = None, seconds: float = 60.0
    ) -> str:
        """Delivers what is left and the results, for at most `seconds`.

        Returns:
            Empty if MLflow has everything, else a sentence that says what is missing and why.
        """
        self._summary, self._model = summary, model
        self._closing.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            return "MLflow does not answer; nothing but its copy is missing"
        return self._problem

    def _follow(self) -> None:
        pause = _PAUSE_SECONDS
        while True:
            closing = self._closing.is_set()
            try:
                self._deliver(closing)
                self._problem = ""
                pause = _PAUSE_SECONDS
            except Exception as error:  # MLflow's stores raise whatever their backends raise
                log.warning("MLflow: %s", error)
                reason = plain_line((str(error).strip() or type(error).__name__).splitlines()[0])
                self._problem = f"MLflow has not taken everything: {reason[:200]}"
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if closing:
                return
            self._closing.wait(pause)

    def _deliver(self, closing: bool) -> None:
        # After a failure it is not known what MLflow took: a new delivery looks.
        delivery = self._delivery or self._make()
        self._delivery = None
        delivery.deliver()
        if closing and self._summary is not None:
            delivery.finish(self._summary, self._model)
        self._delivery = delivery


def study_delivery(study: Study, folder: StudyFolder) -> Callable[[], Deliverer]:
    """Of a study's journal."""

    def make() -> Deliverer:
        from tune_diffreg.tracking.delivery import Delivery

        return Delivery(study, folder)

    return make


def training_delivery(best: Best, history: Path, storage: Path) -> Callable[[], Deliverer]:
    """Of a production training's."""

    def make() -> Deliverer:
        from tune_diffreg.tracking.training import TrainingDelivery

        return TrainingDelivery(best, history, storage)

    return make
