"""What a study has said: the lines of its `log.jsonl`, and what its job on a cluster printed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from tune_diffreg.jobs.answers import ask, follow_answer
from tune_diffreg.jobs.client import Cluster
from tune_diffreg.jobs.lines import Lines
from tune_diffreg.jobs.remote import latest_job, where_it_is
from tune_diffreg.json_text import parse_json
from tune_diffreg.mirror import mirror_of
from tune_diffreg.results import StudyFolder
from tune_diffreg.secrets import plain_line, plain_lines

_PAUSE_SECONDS = 0.5
_PAUSE_SECONDS_ELSEWHERE = 10.0  # the log is published every 20, and a request is not for nothing


def log_lines(folder: StudyFolder, follow: bool) -> Iterator[str]:
    """The lines of `log.jsonl`, and with `follow` those to come, until nobody runs the study."""
    offset, mirror = 0, mirror_of(folder.root)
    while True:
        goes_on = follow and folder.is_locked()  # asked first: its last words are in the file then
        if mirror is not None and not folder.is_written():
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
        time.sleep(_PAUSE_SECONDS if mirror is None else _PAUSE_SECONDS_ELSEWHERE)


def as_text(line: str) -> str:
    """A line of the log as a person reads it: time of day, what is grave, trial, message."""
    try:
        told = parse_json(line)
        moment = datetime.fromisoformat(told["time"]).astimezone()
        level = "" if told["level"] == "info" else f"{told['level'].upper()} "
        trial = f"{told['trial']} " if "trial" in told else ""
        shown = f"{moment:%Y-%m-%d %H:%M:%S}  {level}{trial}{told['message']}"
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        shown = line  # damaged, and still worth a look
    return plain_line(shown)


def read_log(name: str, address: str) -> str:
    """What the latest job of a study has printed."""
    cluster = Cluster(address)
    return plain_lines(cluster.log(latest_job(cluster, name).id))


def follow_log(name: str, address: str, write: Callable[[str], Any]) -> None:
    """The same as it is printed, line by line, until the job ends."""
    cluster = Cluster(address)
    lines = Lines(lambda line: write(plain_lines(line)))
    cluster.follow(latest_job(cluster, name).id, lines)
    lines.end()


def log_as_data(name: str, address: str, storage: str | None) -> str:
    """What `logs --json` prints there."""
    cluster = Cluster(address)
    where = where_it_is(cluster.jobs(name), storage)
    return ask(cluster, ["logs", name, "--json", *where]).require().out


def follow_log_as_data(
    name: str, address: str, storage: str | None, write: Callable[[str], Any]
) -> None:
    """The same as it grows, line by line, until nobody runs the study."""
    cluster = Cluster(address)
    where = where_it_is(cluster.jobs(name), storage)
    follow_answer(cluster, ["logs", name, "--json", "--follow", *where], write).require()
