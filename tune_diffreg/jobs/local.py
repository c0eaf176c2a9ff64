"""The same for a study that a process on this machine runs."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.jobs.client import GRACE_SECONDS
from tune_diffreg.json_text import parse_json
from tune_diffreg.mirror import mirror_of
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


def log_lines(folder: StudyFolder, follow: bool) -> Iterator[str]:
    """The lines of `log.jsonl`, and with `follow` those to come, until nobody runs the study."""
    offset = 0
    while True:
        goes_on = follow and folder.is_locked()  # asked first: its last words are in the file then
        mirror = mirror_of(folder.root)
        if mirror is not None:
            mirror.fetch_growth(folder.log)
        if folder.log.exists():
            with folder.log.open("rb") as file:
                file.seek(offset)
                for line in file:
                    if line.endswith(b"\n"):
                        offset += len(line)
                        yield line.decode(errors="replace").rstrip("\n")
        if not goes_on:
            return
        time.sleep(_PAUSE_SECONDS)


def as_text(line: str) -> str:
    """A line of the log as a person reads it: time of day, what is grave, trial, message."""
    try:
        told = parse_json(line)
        moment = datetime.fromisoformat(told["time"]).astimezone()
        level = "" if told["level"] == "info" else f"{told['level'].upper()} "
        trial = f"{told['trial']} " if "trial" in told else ""
        return f"{moment:%Y-%m-%d %H:%M:%S}  {level}{trial}{told['message']}"
    except (ValueError, KeyError, TypeError):  # damaged, and still worth a look
        return line
