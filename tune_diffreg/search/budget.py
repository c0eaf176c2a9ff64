"""When a search has had enough: images seen and hours, beside the number of trials."""

from __future__ import annotations

from collections.abc import Callable

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
        self._images_allowed = search.images if search.images is not None else float("inf")
        self._seconds_allowed = _HOUR * search.hours if search.hours is not None else float("inf")
        self._images = images
        self._clock = clock
        self._since = clock() - seconds

    def spend(self, images: int) -> None:
        """Notes that trials have seen so many images more."""
        self._images += images

    def spent(self, under_way: int = 0) -> bool:
        """Whether nothing is left, counting images that running trials are about to see."""
        if self._images + under_way + self._reserved >= self._images_allowed:
            return True
        elapsed = self._clock() - self._since
        # Confirmation will see images as fast as the search has so far.
        reserved = elapsed * self._reserved / self._images if self._images else 0.0
        return elapsed + reserved >= self._seconds_allowed
