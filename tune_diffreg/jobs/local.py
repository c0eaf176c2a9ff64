"""The same for a study that a process on this machine runs."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from typing import Any

from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.jobs.client import GRACE_SECONDS
from tune_diffreg.results import StudyFolder, read_state
from tune_diffreg.results.journal import Event, events_from

_PAUSE_SECONDS = 0.5


def stop_here(folder: StudyFolder) -> dict[str, Any]:
    """Stops a study cleanly and waits for it: its trials keep their checkpoints.

    Returns:
        Its state then.

    Raises:
        InputError: it does not run, or not here.
        WorkFailed: it has not stopped in time.
    """
    holder = folder.holder()
    if holder is None:
        raise InputError(f"study {folder.name!r} does not run; it is {read_state(folder)['state']}")
    host, pid = holder
    if host != socket.gethostname():
        raise InputError(
            f"study {folder.name!r} is run by process {pid} on {host}; stop it there, or with "
            "--address if it was submitted"
        )
    try:
        os.kill(pid, signal.SIGTERM)
    except OSError as error:
        raise InputError(f"process {pid} cannot be told to stop ({error.strerror})") from None
    deadline = time.monotonic() + GRACE_SECONDS
    while folder.is_locked():
        if time.monotonic() > deadline:
            raise WorkFailed(f"study {folder.name!r} has not stopped yet (process {pid})")
        time.sleep(_PAUSE_SECONDS)
    folder.refresh()
    return read_state(folder)


def follow_events(folder: StudyFolder, follow: bool) -> Iterator[Event]:
    """The journal's events, and with `follow` those to come, until nobody runs the study."""
    offset = 0
    while True:
        goes_on = follow and folder.is_locked()  # asked first: what follows is in the journal
        if folder.journal.exists():
            for event, end in events_from(folder.journal, offset):
                offset = end
                yield event
        if not goes_on:
            return
        time.sleep(_PAUSE_SECONDS)
        folder.refresh()
