"""What all deliveries share: a journal read event by event, sent in batches, noted in the spool."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.entities import Run

from tune_diffreg.results.journal import Event, events_from
from tune_diffreg.tracking.spool import Position, Spool
from tune_diffreg.tracking.store import Store, milliseconds
from tune_diffreg.tracking.system import SystemMetrics
from tune_diffreg.tracking.uri import Place

_MOST_WAITING = 200  # events, before they are sent


class Courier(ABC):
    """Brings one journal to MLflow, from where the last delivery ended.

    Events that wait together go together, a request a run, so that a slow server is sent fewer and
    not more. Twice is the same as once, since runs are found by their tags and a metric is known by
    its key, step, time and value. After an exception make a new one: it looks up what MLflow has.

    Args:
        key: tag whose value tells the journal's run from all others.
        live: whether what this machine is busy with belongs to the run.
    """

    def __init__(self, spool: Spool, place: Place, key: str, live: bool) -> None:
        self._spool = spool
        self._name = place.experiment
        self._store = Store(place, self._set_aside)
        self._key = key
        self._system = SystemMetrics() if live else None
        self._run = ""
        self._identity = ""
        self._time = 0
        self._read = 0
        self._unsent = 0
        self._position = spool.position()

    def deliver(self) -> None:
        """Delivers all events that are in the journal now, then the files they speak of.

        Raises:
            Exception: whatever MLflow raises; nothing is lost, and another delivery goes on.
        """
        if not self._spool.journal.exists():  # nothing has begun yet
            return
        for number, (event, offset) in enumerate(self._events(self._read), 1):
            if not self._run:
                self._find_or_create(event)
            self._apply(event)
            self._read, self._time = offset, milliseconds(event)
            if offset > self._position.records:
                what = f"{event['event']} at {event['time']}"
                with self._store.setting_aside(self._subject(event), what):
                    self._send(event)
                self._unsent += 1
            if number % _MOST_WAITING == 0:
                self._flush()
        if self._run and self._system is not None:
            self._store.batch(self._run).metrics += self._system.measured()
        self._flush()
        if self._run:
            self._send_files()

    def finish(self, summary: dict[str, Any], model: Path | None = None) -> None:
        """Gives the run the results and its final status.

        Args:
            model: folder of an export.
        """
        if not self._run:
            return
        owed = self._position.results < self._read
        self._send_results(summary, model)
        self._note(replace(self._position, results=self._read))
        self._spool.delivered += owed

    @abstractmethod
    def _apply(self, event: Event) -> None:
        """Takes note of an event, delivered before or not."""

    @abstractmethod
    def _send(self, event: Event) -> None:
        """Sends one event, or adds it to what waits."""

    @abstractmethod
    def _send_results(self, summary: dict[str, Any], model: Path | None) -> None:
        """Sends what stands at the end."""

    @abstractmethod
    def _create(self, first: Event, tags: dict[str, str]) -> str:
        """A new run, with these tags and others, for the journal that begins with this event."""

    def _found(self, runs: list[Run]) -> Run:
        """The journal's run: a request that seemed lost may have made others, which are empty."""
        return max(runs, key=lambda run: len(run.data.params))

    @abstractmethod
    def _send_files(self) -> None:
        """Sends the files that events speak of."""

    def _subject(self, event: Event) -> str:
        """What an event is about, in the words of the journal."""
        return str(event.get("run") or event.get("trial") or self._name)

    def _name_of(self, run_id: str) -> str:
        """The same of a run of MLflow's."""
        return self._name if run_id == self._run else run_id

    def _events(self, offset: int) -> Iterator[tuple[Event, int]]:
        return events_from(self._spool.journal, offset)

    def _flush(self) -> None:
        """Sends what waits, and notes that all that was read is delivered."""
        self._store.flush()
        if self._read > self._position.records:
            self._note(replace(self._position, records=self._read))
        self._spool.delivered += self._unsent
        self._unsent = 0

    def _note(self, position: Position) -> None:
        if position != self._position:
            self._spool.note(position)
        self._position = position

    def _find_or_create(self, first: Event) -> None:
        """Finds what earlier deliveries made, or makes the experiment and the run.

        The first event's time tells this journal from another of its name that was deleted.
        """
        self._identity = f"{self._name}@{first['time']}"
        self._store.open()
        found = self._store.find(self._key, self._identity)
        if found:
            self._run = self._found(found).info.run_id
        else:
            self._run = self._create(first, {self._key: self._identity})
        if self._position.run != self._run:  # what another store was told, this one was not
            self._position = Position(self._run)
        self._store.trust(self._run, self._key, self._identity)

    def _set_aside(self, run: str, what: str, why: str) -> None:
        self._spool.refuse(self._name_of(run), what, why)
