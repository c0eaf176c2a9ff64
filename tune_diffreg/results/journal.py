"""The journal of a study: every decision, one line of JSON each, durable before it takes effect.

All tables of results are made from it, and an interrupted search goes on from it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_diffreg.errors import InputError
from tune_diffreg.files import append_durably
from tune_diffreg.json_text import parse_json
from tune_diffreg.mirror import publish_growth
from tune_diffreg.patience import Patiently, at_once
from tune_diffreg.results.events import require_event

Event = dict[str, Any]

_EPOCH = time.time() - time.monotonic()


def _now() -> float:
    """Seconds since 1970, by the clock as it was set when this process began: none goes back."""
    return _EPOCH + time.monotonic()


class Journal:
    """Appends to a journal file, which nobody else writes; `StudyFolder.lock` sees to that.

    Args:
        patiently: writes again while the storage cannot be written.
    """

    def __init__(self, path: Path, patiently: Patiently = at_once) -> None:
        self.path = path
        self._patiently = patiently
        self._end = patiently(lambda: cut_torn_line(path))

    def append(self, event: str, **content: Any) -> Event:
        """Writes one event and returns it, as it will be read, once it is on the disk."""
        record: Event = {"event": event, "time": round(_now(), 3), **content}
        # Half a character, as the name of a file may hold, must not make all of it unreadable.
        text = json.dumps(record, allow_nan=False, ensure_ascii=False)
        line = text.encode(errors="replace") + b"\n"
        self._end = self._patiently(lambda: append_durably(self.path, self._end, line))
        self._patiently(lambda: publish_growth(self.path))
        return json.loads(line)  # type: ignore[no-any-return]


def cut_torn_line(path: Path) -> int:
    """Removes a last line without its end, which was being written when the machine went down.

    Makes the file where there is none.

    Returns:
        Where it ends then.
    """
    path.touch()
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(path, whole)
    return whole


def read_journal(path: Path) -> list[Event]:
    """All events, in order; also while another process appends to the file.

    Raises:
        InputError: a line in the middle is damaged.
    """
    return [event for event, _ in events_from(path, 0)]


def events_from(path: Path, offset: int) -> Iterator[tuple[Event, int]]:
    """Events from a byte offset on, each with the offset after it; a torn last line is left.

    Raises:
        InputError: a line is damaged, or there is no journal.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                event = parse_json(line)
                require_event(event)
                yield event, offset
    except FileNotFoundError:
        raise InputError(f"{path}: the study's journal is missing") from None
    except IsADirectoryError:
        raise InputError(f"{path}: is a folder, and the study's journal should be there") from None
    except ValueError:
        raise InputError(f"{path}: the study's journal is damaged at byte {offset:,}") from None
