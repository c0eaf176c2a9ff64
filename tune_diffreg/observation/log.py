"""The log of a study, `log.jsonl`: one JSON object a line, with study and trial."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tune_diffreg.results.journal import Event, cut_torn_line
from tune_diffreg.secrets import masked
from tune_diffreg.study import Study
from tune_diffreg.words import counted, setting

log = logging.getLogger(__name__)

_OUR_LOGGERS = "tune_diffreg"


def log_to(path: Path, study: str) -> None:
    """Sends what we and libraries have to say to a file, and not to the screen."""
    logging.captureWarnings(True)
    cut_torn_line(path)
    handler = _LogFile(path, encoding="utf-8")
    handler.setFormatter(JsonLines(study))
    root = logging.getLogger()
    for other in list(root.handlers):
        root.removeHandler(other)
        other.close()
    root.addHandler(handler)
    logging.getLogger(_OUR_LOGGERS).setLevel(logging.INFO)


class _LogFile(logging.FileHandler):
    """A line that cannot be written, on a full disk or where the folder is gone, is left out
    without a word on the screen."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):  # of opening the file again, which logging itself lets pass
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing."""

    def close(self) -> None:
        with suppress(OSError):  # what was left out before cannot be written now either
            super().close()


class JsonLines(logging.Formatter):
    """A record as one line: `time` (ISO, UTC), `level`, `logger`, `study`, `message`.

    `trial`, `event` and `traceback` are there where they are known; a caller gives the first two
    as `extra={"trial": ..., "event": ...}`. Credentials are masked.
    """

    def __init__(self, study: str) -> None:
        super().__init__()
        self._study = study

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC)
        line = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "study": self._study,
            "trial": getattr(record, "trial", None),
            "event": getattr(record, "event", None),
            "message": masked(record.getMessage()),
            "traceback": masked(trace) if (trace := self._traceback(record)) else None,
        }
        told = {key: value for key, value in line.items() if value is not None}
        return json.dumps(told, ensure_ascii=False, default=str)

    def _traceback(self, record: logging.LogRecord) -> str | None:
        sent: str | None = getattr(record, "traceback", None)  # from another process
        exception = record.exc_info
        if sent or not exception or not exception[0]:
            return sent
        return self.formatException(exception)


class EventLog:
    """Logs the events of a study: begin and end of sessions, trials and repetitions, reports."""

    def __init__(self, study: Study) -> None:
        self._scores = tuple(dict.fromkeys((study.objective.metric, *study.objective.constraints)))

    def __call__(self, event: Event) -> None:
        kind, subject = event["event"], event.get("run", event.get("trial"))
        for note in event.get("notes", ()):
            _log_note(subject, note)
        describe = _MESSAGES.get(kind)
        if describe is None:
            return
        level = logging.WARNING if _is_trouble(event) else logging.INFO
        told = describe(event) + self._told(event.get("scores", {}))
        log.log(level, "%s", told, extra={"trial": subject, "event": kind})

    def _told(self, scores: Mapping[str, float]) -> str:
        """Those that decide; the journal has all."""
        told = [f"{name} {setting(scores[name])}" for name in self._scores if name in scores]
        return f": {', '.join(told)}" if told else ""


def _is_trouble(event: Event) -> bool:
    failed = event["event"] == "end" and event["state"] == "failed"
    return failed or event["event"] in ("again", "repeat_again", "repeat_failed", "storage")


def _log_note(trial: str | None, note: Mapping[str, Any]) -> None:
    """What was logged beside a trial, in a process of its own, which sent it with a result."""
    extra = {"trial": trial, "traceback": note.get("traceback")}
    logging.getLogger(note["logger"]).log(note["level"], "%s", note["message"], extra=extra)


def _session(event: Event) -> str:
    return "a session begins: " + ", ".join(f"{k} {v}" for k, v in event["provenance"].items())


def _stopped(event: Event) -> str:
    return "the session ends" + ("; nothing is left to do" if event["finished"] else "")


def _started(event: Event) -> str:
    values = ", ".join(f"{path} {setting(value)}" for path, value in event["values"].items())
    role = f"baseline {event['baseline']}" if event["baseline"] else "trial"
    return f"{role} begins{' as a control' if event['control'] else ''}: {values or 'as it is'}"


def _broken_off(event: Event) -> str:
    return f"goes on from its checkpoint: {event['reason']}"


_MESSAGES: dict[str, Callable[[Event], str]] = {
    "session": _session,
    "stop": _stopped,
    "start": _started,
    "report": lambda event: f"{event['decision']} at {counted(event['images'], 'image')} seen",
    "promote": lambda _: "promoted: goes on from its checkpoint",
    "again": _broken_off,
    "end": lambda event: event["state"] + (f": {event['reason']}" if event["reason"] else ""),
    "repeat": lambda event: f"seed {event['number']} of {event['trial']} begins",
    "repeat_again": _broken_off,
    "repeated": lambda event: f"complete at {counted(event['images'], 'image')} seen",
    "repeat_failed": lambda event: f"failed: {event['reason']}",
    "storage": lambda event: event["sentence"],
    "interrupt": lambda _: "interrupted: each trial stops at its next sign of life",
}
