"""A thread that follows the journal and delivers it, so that no trial ever waits for MLflow."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from tune_diffreg.results import StudyFolder
from tune_diffreg.study import Study

if TYPE_CHECKING:
    from tune_diffreg.tracking.delivery import Delivery

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0

log = logging.getLogger(__name__)


class Follower:
    """Follows one study's journal until it is closed."""

    def __init__(self, study: Study, folder: StudyFolder) -> None:
        self._study = study
        self._folder = folder
        self._closing = threading.Event()
        self._summary: dict[str, Any] | None = None
        self._delivery: Delivery | None = None
        self._problem = ""
        self._thread = threading.Thread(target=self._follow, name="mlflow", daemon=True)
        self._thread.start()

    def close(self, summary: dict[str, Any] | None, seconds: float = 60.0) -> str:
        """Delivers what is left and the results, for at most `seconds`.

        Returns:
            Empty if MLflow has everything, else a sentence that says what is missing and why.
        """
        self._summary = summary
        self._closing.set()
        self._thread.join(seconds)
        if self._thread.is_alive():
            return "MLflow does not answer; the study is whole without it"
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
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                self._problem = f"MLflow has not taken everything: {reason[:200]}"
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if closing:
                return
            self._closing.wait(pause)

    def _deliver(self, closing: bool) -> None:
        from tune_diffreg.tracking.delivery import Delivery  # takes seconds to import

        # After a failure it is not known what MLflow took: a new delivery looks.
        delivery = self._delivery or Delivery(self._study, self._folder)
        self._delivery = None
        delivery.deliver()
        if closing and self._summary is not None:
            delivery.finish(self._summary)
        self._delivery = delivery
