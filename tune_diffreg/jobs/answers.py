"""What one of our commands prints on the cluster, asked for by a short job."""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.jobs.client import Cluster
from tune_diffreg.jobs.lines import Lines

_PATIENCE_SECONDS = 180.0
_PREFIX = "tune-diffreg: "


@dataclass(frozen=True)
class Answer:
    """What a command printed there, and its exit status."""

    status: int
    out: str
    err: str
    storage: str | None
    """The cluster's own, where none is named."""

    @property
    def sentence(self) -> str:
        """What it said was wrong."""
        return last_line(self.err if self.err.strip() else self.out)

    def require(self) -> Answer:
        """Itself, where the command succeeded.

        Raises:
            InputError: it refused its input.
            WorkFailed: it failed.
        """
        if self.status == 0:
            return self
        raise InputError(self.sentence) if self.status == 2 else WorkFailed(self.sentence)


def ask(cluster: Cluster, command: Sequence[str], shipped: Path | None = None) -> Answer:
    """Runs `tune-diffreg COMMAND` on the head and waits for it.

    Args:
        shipped: folder that it is started in, copied from here.

    Raises:
        WorkFailed: the cluster cannot run it, or not in time.
    """
    mark = _new_mark()
    with _asked(cluster, mark, command, shipped) as id_:
        status = cluster.wait(id_, _PATIENCE_SECONDS)
        log = cluster.log(id_)
    for line in log.splitlines():
        if line.startswith(mark):
            return Answer(**json.loads(line.removeprefix(mark)))
    if status in ("pending", "running"):
        raise WorkFailed(f"{cluster.address} took a job and did not run it in time")
    raise WorkFailed(f"{cluster.address} cannot run tune-diffreg: {last_line(log)}")


def follow_answer(cluster: Cluster, command: Sequence[str], write: Callable[[str], Any]) -> Answer:
    """The same of a command that goes on (`--follow`), each line of which is passed on.

    Raises:
        WorkFailed: the cluster cannot run it, or the connection to it is lost.
    """
    mark, found = _new_mark(), list[Answer]()

    def read(line: str) -> None:
        if line.startswith(mark):
            told = json.loads(line.removeprefix(mark))
            if "line" in told:
                write(told["line"])
            else:
                found.append(Answer(**told))

    with _asked(cluster, mark, command) as id_:
        cluster.follow(id_, Lines(read))
        log = "" if found else cluster.log(id_)
    if found:
        return found[0]
    raise WorkFailed(f"{cluster.address} cannot run tune-diffreg: {last_line(log)}")


@contextmanager
def _asked(
    cluster: Cluster, mark: str, command: Sequence[str], shipped: Path | None = None
) -> Iterator[str]:
    """The job that runs a command, which is gone afterwards."""
    id_ = f"tune-diffreg-ask-{secrets.token_hex(8)}"
    width = shutil.get_terminal_size().columns
    asking = shlex.join(["python", "-m", "tune_diffreg.jobs.there", mark, *command])
    cluster.submit(id_, f"exec env COLUMNS={width} {asking}", shipped)
    try:
        yield id_
    finally:
        with suppress(InputError):
            cluster.stop(id_)
            cluster.wait(id_, 1)
            cluster.forget(id_)


def _new_mark() -> str:
    """What the answer's lines in a job's log begin with, and no others."""
    return f"answer-{secrets.token_hex(8)}:"


def last_line(log: str) -> str:
    """Why a job ended: its last sentence, or the last that its log holds."""
    lines = [line for line in log.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(_PREFIX)]
    return (told or lines or ["it says nothing"])[-1].removeprefix(_PREFIX)
