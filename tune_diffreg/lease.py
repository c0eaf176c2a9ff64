"""Holds a study's folder in a storage elsewhere against other machines, by a file that is renewed.

Such storage has no locks. A lease that is renewed is somebody's; one that a machine left behind is
watched for a minute and then taken over. A machine that was cut off, or slept, may come back and
still believe that the study is its own. So whoever holds a lease and has not renewed it lately asks
whose it is before each change. Between that and the change another machine could still come, within
the moment that a request takes: to close that gap too, writing would have to depend on what is
there, which not all such storage can do.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tune_diffreg.elsewhere import Elsewhere
from tune_diffreg.errors import InputError
from tune_diffreg.json_text import parse_json

_LEASE_SECONDS, _RENEWED_SECONDS, _PAUSE_SECONDS = 60.0, 15.0, 1.0


class Lease:
    """One process' hold on what belongs to the file `path`, of the storage.

    Args:
        path: of the lease itself.
    """

    def __init__(self, storage: Elsewhere, path: str) -> None:
        self._storage = storage
        self._path = path
        self._mark = secrets.token_hex(8)
        self._renewed = 0.0, 0.0
        self._lost = False

    @contextmanager
    def held(self, busy: str) -> Iterator[None]:
        """Takes the lease, and renews it for as long as it is entered.

        Raises:
            InputError: `busy`, where another machine holds it.
        """
        if _is_renewed(self._storage, self._path):
            raise InputError(busy)
        self._renew()
        time.sleep(_PAUSE_SECONDS)
        if not self._is_mine():  # both came at once
            raise InputError(busy)
        ended = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(ended,), daemon=True)
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join()
            with suppress(OSError):  # it lapses by itself
                if self._is_mine():
                    self._storage.remove(self._path)

    def require(self) -> None:
        """Makes sure that no other machine has taken over.

        Raises:
            OSError: one has (ESTALE), or the storage does not answer.
        """
        if not self._lost and self._age() > _LEASE_SECONDS / 2:
            self._renew_if_mine()
        if self._lost:
            raise OSError(errno.ESTALE, "another machine has gone on with this study")

    def _keep(self, ended: threading.Event) -> None:
        while not self._lost and not ended.wait(_RENEWED_SECONDS):
            with suppress(OSError):  # the study's own writing will find out
                self._renew_if_mine()

    def _renew_if_mine(self) -> None:
        if self._is_mine():
            self._renew()
        else:
            self._lost = True

    def _renew(self) -> None:
        begun = _clocks()  # and not when the answer came, which may be late
        holder = f"{socket.gethostname()} {os.getpid()}"
        lease = {"holder": holder, "mark": self._mark, "time": begun[0], "at": begun[1]}
        self._storage.write(self._path, json.dumps(lease).encode())
        self._renewed = begun

    def _age(self) -> float:
        """Seconds since it was renewed, by the clock of which more have passed: one stands still
        while a machine sleeps, the other may be set back."""
        return max(now - then for now, then in zip(_clocks(), self._renewed, strict=True))

    def _is_mine(self) -> bool:
        return read_lease(self._storage, self._path).get("mark") == self._mark


def holder(storage: Elsewhere, path: str) -> str | None:
    """Machine and process that hold a lease now, with a space between; None where nobody does.

    As far as can be told at once: wrong where two machines' clocks differ by a minute.
    """
    lease = read_lease(storage, path)
    try:
        held = abs(lease["time"] - time.time()) < _LEASE_SECONDS
        return str(lease["holder"]) if held else None
    except (KeyError, TypeError, OverflowError):  # there is none, or none that we wrote
        return None


def read_lease(storage: Elsewhere, path: str) -> dict[str, Any]:
    """What a lease says; empty where there is none of ours."""
    try:
        found = parse_json(storage.read(path) or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _is_renewed(storage: Elsewhere, path: str) -> bool:
    """Whether somebody renews it, by looking on: clocks of two machines may differ."""
    first, end = read_lease(storage, path), time.monotonic() + _LEASE_SECONDS
    seen_last = first
    while first and time.monotonic() < end:
        time.sleep(_PAUSE_SECONDS)
        now = read_lease(storage, path)
        if now and now != first:
            return True
        if not now and not seen_last:  # gone, and not only between two writes
            return False
        seen_last = now
    return False


def _clocks() -> tuple[float, float]:
    return time.time(), time.monotonic()
