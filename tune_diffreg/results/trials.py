"""The trials of a study as its journal tells them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tune_diffreg.errors import InputError
from tune_diffreg.results.journal import Event

ENDED = ("complete", "pruned", "failed")


@dataclass(frozen=True)
class RungReport:
    """The scores of a trial at one rung."""

    images: int
    seconds: float
    scores: dict[str, float]
    decision: str
    """A `Decision` of the search: continue, spare, pause, prune or complete."""


@dataclass
class TrialRecord:
    """One trial: where it stands and all that it reported."""

    id: str
    values: dict[str, Any]
    """Dotted path -> value of what was proposed, or of what a baseline fixes."""
    baseline: str | None = None
    control: bool = False
    proposal: int | None = None
    """Its number in Optuna's study; baselines have none."""
    state: str = "running"
    reason: str | None = None
    reports: list[RungReport] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def images(self) -> int:
        """Images seen at the last rung reached."""
        return self.reports[-1].images if self.reports else 0

    @property
    def scores(self) -> dict[str, float]:
        """Scores at the last rung reached."""
        return self.reports[-1].scores if self.reports else {}

    @property
    def label(self) -> str:
        return f"{self.id} {self.baseline}" if self.baseline else self.id


def replay(events: Iterable[Event]) -> dict[str, TrialRecord]:
    """All trials by id, in the order in which they were started."""
    records: dict[str, TrialRecord] = {}
    for event in events:
        apply(records, event)
    return records


def apply(records: dict[str, TrialRecord], event: Event) -> None:
    """Brings `records` up to date with one more event.

    Raises:
        InputError: it is about a trial that was never started.
    """
    kind = event["event"]
    if kind == "start":
        records[event["trial"]] = TrialRecord(
            event["trial"], event["values"], event["baseline"], event["control"], event["proposal"]
        )
    elif kind == "report":
        record = _started(records, event)
        record.reports.append(
            RungReport(event["images"], event["seconds"], event["scores"], event["decision"])
        )
        if event["decision"] == "pause":
            record.state = "paused"
    elif kind == "promote":
        _started(records, event).state = "running"
    elif kind == "end":
        record = _started(records, event)
        record.state, record.reason = event["state"], event["reason"]


def _started(records: dict[str, TrialRecord], event: Event) -> TrialRecord:
    """The trial that an event is about."""
    record = records.get(event["trial"])
    if record is None:
        raise InputError(
            f"the study's journal is damaged: it tells of trial {event['trial']!r} and not of its "
            "start"
        )
    return record


def has_ended(events: Iterable[Event]) -> bool:
    """Whether the study has nothing left to do."""
    return any(event["event"] == "stop" and event["finished"] for event in events)


def wall_seconds(events: Iterable[Event]) -> float:
    """Time that the study ran, all sessions together, breaks between them left out.

    While a clock is set back no time passes.
    """
    total, last = 0.0, None
    for event in events:
        if last is not None and event["event"] != "session":
            total += max(0.0, event["time"] - last)
        last = event["time"]
    return total
