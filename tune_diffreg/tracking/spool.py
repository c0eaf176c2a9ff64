"""A journal as a queue: how much of it MLflow has taken, and what it refused, stand beside it.

Nothing here asks MLflow, so how much waits can be told at any time and by any process.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from tune_diffreg.errors import InputError
from tune_diffreg.files import write_atomically
from tune_diffreg.json_text import parse_json
from tune_diffreg.results.journal import Journal, read_journal


@dataclass(frozen=True)
class Position:
    """How far MLflow has been told, in bytes of the journal.

    Attributes:
        run: id of the run that was told; another store may know the journal under another.
        records: what the events say.
        files: the files that they speak of.
        results: where the journal ended when the results were given.
    """

    run: str = ""
    records: int = 0
    files: int = 0
    results: int = 0


class Spool:
    """What of one journal is delivered, and what waits.

    Args:
        state: file that the position is kept in. Without it, or where it is damaged, all is
            delivered again, which changes nothing.
    """

    def __init__(self, journal: Path, state: Path) -> None:
        self.journal = journal
        self.refusals = state.with_name(f"{state.stem}-refused.jsonl")
        self.delivered = 0  # records, by this process
        self._state = state
        self._refused: set[tuple[str, str]] | None = None

    def position(self) -> Position:
        """Where the delivery stands."""
        try:
            found = Position(**parse_json(self._state.read_bytes()))
            whole = self.journal.stat().st_size
            numbers = (found.records, found.files, found.results)
            sound = all(type(number) is int and 0 <= number <= whole for number in numbers)
        except (OSError, ValueError, TypeError):
            return Position()
        return found if sound else Position()

    def note(self, position: Position) -> None:
        """Keeps a position, durably."""
        write_atomically(self._state, json.dumps(asdict(position)))

    def waiting(self) -> int:
        """How many events MLflow has not taken. Reads no more than those."""
        try:
            with self.journal.open("rb") as file:
                file.seek(self.position().records)
                return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))
        except FileNotFoundError:
            return 0

    def owed(self) -> int:
        """The same of a journal that nobody writes any more, whose results are a record too."""
        position, waiting = self.position(), self.waiting()
        return waiting + (waiting > 0 or position.results < position.records)

    def refuse(self, run: str, what: str, reason: str) -> None:
        """Sets aside what MLflow refuses, once."""
        if (run, what) not in self._known_refusals():
            Journal(self.refusals).append("refused", run=run, what=what, reason=reason)
            self._known_refusals().add((run, what))

    def refused(self) -> int:
        """How much was set aside."""
        return len(self._known_refusals())

    def _known_refusals(self) -> set[tuple[str, str]]:
        if self._refused is None:
            try:
                events = read_journal(self.refusals)
                self._refused = {(event["run"], event["what"]) for event in events}
            except (InputError, KeyError):  # there are none, or the file was damaged
                self._refused = set()
        return self._refused
