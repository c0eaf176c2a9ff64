"""Whole lines of a text that comes in pieces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Lines:
    """Takes pieces of a text and passes on each line with its end, once it is whole."""

    def __init__(self, write: Callable[[str], Any]) -> None:
        self._write = write
        self._rest = ""

    def __call__(self, piece: str) -> None:
        *whole, self._rest = (self._rest + piece).split("\n")
        for line in whole:
            self._write(f"{line}\n")

    def end(self) -> None:
        """Passes on a last line that has no end."""
        if self._rest:
            self._write(self._rest)
        self._rest = ""
