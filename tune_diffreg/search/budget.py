"""When a search has had enough: images seen and hours, beside the number of trials."""

from __future__ import annotations

from collections.abc import Callable

from tune_diffreg.study import Search

_HOUR = 3600.0


class Budget:
    """What a search may spend, and what it has spent.

    Args:
        images: images seen by all trials, in earlier sessions.
        seconds: time that earlier sessions ran.
        clock: seconds since any fixed moment.
    """

    def __init__(
        self, search: Search, images: int, seconds: float, clock: Callable[[], float]
    ) -> None:
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
        return (
            self._images + under_way >= self._images_allowed
            or self._clock() - self._since >= self._seconds_allowed
        )
