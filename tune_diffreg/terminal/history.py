"""A study's journal as it was shown while it ran, with the time of day."""

from __future__ import annotations

from datetime import datetime

from tune_diffreg.results.journal import Event
from tune_diffreg.study import Study
from tune_diffreg.terminal.board import Board
from tune_diffreg.terminal.live import line


class History:
    """Takes a study's events in order and says each in a line; None for those not worth one."""

    def __init__(self, study: Study) -> None:
        self._board = Board(study, {})

    def __call__(self, event: Event) -> str | None:
        self._board.note(event)
        text = _session(event) or line(self._board, event)
        clock = datetime.fromtimestamp(event["time"]).strftime("%Y-%m-%d %H:%M:%S")
        return f"{clock}  {text}" if text else None


def _session(event: Event) -> str | None:
    if event["event"] == "session":
        return "a process begins to run the study"
    if event["event"] == "stop":
        return "the study has ended" if event["finished"] else "the process stops; resume goes on"
    return None
