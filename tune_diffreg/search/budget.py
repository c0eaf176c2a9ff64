"""When a search has had enough: images seen and hours, beside the number of trials."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tune_diffreg.results import TrialRecord
from tune_diffreg.study import Study

_HOUR = 3600.0


class Budget:
    """What a search may spend, and what it has spent; confirmation's part is not its to spend.

    Args:
        images: images seen by all trials, in earlier sessions.
        seconds: time that earlier sessions ran.
        clock: seconds since any fixed moment.
    """

    def __init__(
        self, study: Study, images: int, seconds: float, clock: Callable[[], float]
    ) -> None:
        search, self._reserved = study.search, study.confirmation_images
        self._rungs = study.rungs()
        self._stops = search.when_spent == "stop"
        self._images_allowed = search.images
        self._seconds_allowed = _HOUR * search.hours if search.hours is not None else float("inf")
        self._images = images
        self._clock = clock
        self._since = clock() - seconds

    def spend(self, images: int) -> None:
        """Notes that trials have seen so many images more."""
        self._images += images

    def spent(self, running: Iterable[TrialRecord] = ()) -> bool:
        """Whether nothing is left, counting what running trials will see before they can end."""
        if self._images_allowed is not None:
            under_way = sum(self._stop(record) - record.images for record in running)
            if self._images + under_way + self._reserved >= self._images_allowed:
                return True
        elapsed = self._clock() - self._since
        # Confirmation will see images as fast as the search has so far.
        reserved = elapsed * self._reserved / self._images if self._images else 0.0
        return elapsed + reserved >= self._seconds_allowed

    def stops(self, others: Iterable[TrialRecord]) -> bool:
        """Whether a trial that could go on ends at this rung, while `others` run."""
        return self._stops and self.spent(others)

    def _stop(self, record: TrialRecord) -> int:
        """Images seen where a running trial next may end: the end, for those that are exempt."""
        if not self._stops and (record.control or record.baseline is not None):
            return self._rungs[-1]
        return next((rung for rung in self._rungs if rung > record.images), record.images)
