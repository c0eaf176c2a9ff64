"""Stops a study that a process on this machine runs."""

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any

from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.jobs.client import GRACE_SECONDS
from tune_diffreg.results import StudyFolder, read_state

_PAUSE_SECONDS = 0.5
_SAYS_WHO_SECONDS = 2.0


def stop_here(folder: StudyFolder) -> dict[str, Any]:
    """Stops a study cleanly and waits for it: its trials keep their checkpoints.

    Returns:
        Its state then.

    Raises:
        InputError: it does not run, or not here.
        WorkFailed: it has not stopped in time.
    """
    host, pid = _holder(folder)
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


def _holder(folder: StudyFolder) -> tuple[str, int]:
    """Machine and process that run the study, which says so a moment after it has begun."""
    deadline = time.monotonic() + _SAYS_WHO_SECONDS
    while (holder := folder.holder()) is None:
        if not folder.is_locked():
            state = read_state(folder, running=False)["state"]
            raise InputError(f"study {folder.name!r} does not run; it is {state}")
        if time.monotonic() > deadline:
            raise InputError(
                f"study {folder.name!r} is being run, and its lock does not say by which process; "
                "find that one and end it (SIGTERM)"
            )
        time.sleep(_PAUSE_SECONDS)
    return holder
