"""A storage that cannot be written for a while: it is waited for, and said so once.

Only what may pass is waited for: a full disk, a quota, a mount that became read-only, a server
that does not answer. A file where a folder should be is there tomorrow too.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from tune_diffreg.errors import WorkFailed
from tune_diffreg.words import duration

log = logging.getLogger(__name__)

PAUSE_SECONDS = 1.0
"""Between two tries."""

_PASSING = {
    errno.EACCES, errno.EAGAIN, errno.EBUSY, errno.ECONNREFUSED, errno.ECONNRESET, errno.EDQUOT,
    errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EIO, errno.EMFILE, errno.ENETUNREACH, errno.ENFILE,
    errno.ENODEV, errno.ENOENT, errno.ENOSPC, errno.ENOTCONN, errno.ENXIO, errno.EPERM,
    errno.EROFS, errno.ESTALE, errno.ETIMEDOUT,
    None,  # storage elsewhere gives no number
}  # fmt: skip

T = TypeVar("T")


class StorageLost(WorkFailed):
    """The storage could not be written for as long as a study waits. The text says why."""


class Patiently(Protocol):
    """Carries out a write, however often that takes."""

    def __call__(self, write: Callable[[], T], /) -> T: ...


def at_once(write: Callable[[], T], /) -> T:
    """Without any patience: for those who deal with the error themselves."""
    return write()


def passes(error: OSError) -> bool:
    """Whether what went wrong may be over after a while."""
    return error.errno in _PASSING


def reason_of(error: OSError) -> str:
    """What went wrong, in one line without names of files."""
    return error.strerror or (str(error).strip() or type(error).__name__).splitlines()[0]


class Patience:
    """Tries again what could not be written, for a bounded time.

    Several may wait: the driver for its journal, each trial for its checkpoint. Each has a time of
    its own; what one of them can write says nothing about the others.

    Args:
        seconds: how long each waits before the storage is given up.
        say: is told a sentence when waiting begins, and when it is over.
        clock: seconds since any fixed moment.
    """

    def __init__(
        self,
        seconds: float,
        say: Callable[[str], None] = log.warning,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.lost: StorageLost | None = None
        self._seconds = seconds
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._since: dict[str, float] = {}

    def __call__(self, write: Callable[[], T], /) -> T:
        """Writes, as soon as that can be done.

        Raises:
            StorageLost: not for as long as is waited.
            OSError: one that does not pass.
        """
        while True:
            try:
                result = write()
            except OSError as error:
                if not passes(error):
                    raise
                self.waits("", reason_of(error))
                self._sleep(PAUSE_SECONDS)
            else:
                self.writes("")
                return result

    def waits(self, who: str, reason: str) -> None:
        """Notes that `who` cannot write now.

        Raises:
            StorageLost: nor could it for as long as is waited.
        """
        if self.lost is not None:
            raise self.lost
        now = self._clock()
        if not self._since:
            self._say(
                f"The storage cannot be written ({reason}); waiting for it, at most "
                f"{duration(self._seconds)}"
            )
        waited = now - self._since.setdefault(who, now)
        if waited >= self._seconds:
            self.lost = StorageLost(
                f"The storage could not be written for {duration(waited)} ({reason})."
            )
            raise self.lost

    def writes(self, who: str) -> None:
        """Notes that `who` can write, or needs to no more."""
        if self._since.pop(who, None) is not None and not self._since and self.lost is None:
            self._say("The storage can be written again")

    def end(self) -> None:
        """From now on each write is tried once: there is nobody left to wait."""
        self._seconds = 0.0
