"""What a person is shown of a study beside its trials: what runs, what stands out, what failed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table

from tune_diffreg.words import counted, duration, program, storage_option

_ROWS = 20  # of running trials; --json has all
_NAMES = 8  # of trials that failed for one reason


def status_table(status: dict[str, Any], storage: Path) -> Group:
    """The lines and the table below the trials, of what `read_status` found."""
    live = status["live"]
    where = status["study"] + storage_option(storage)
    parts: list[Any] = [_state(status, where)]
    if status["note"]:
        parts.append(status["note"])
    if live is not None:
        parts.append(_busy(live))
        if live["running"]:
            parts.append(_running(live))
        parts += [
            f"{trial['trial']} stands out: {trial['straggler']}"
            for trial in live["running"]
            if trial["straggler"]
        ][:_ROWS]
    parts += [_failure(group) for group in status["failures"]]
    parts += _mlflow(status, where)
    return Group(*parts)


def _state(status: dict[str, Any], where: str) -> str:
    session, state = status["session"], status["state"]
    who = f"process {session['pid']} on {session['host']}" if session else "a process"
    if state == "running":
        return f"running: {who}"
    if state != "interrupted":
        return f"not running: {state}"
    ended = "it was interrupted"
    if session and session["state"] == "running":
        when = duration(max(0.0, time.time() - session["time"]))
        ended = f"{who} ended without a word, {when} ago or less"
    return f"not running: {ended}; go on with:  {program()} resume {where}"


def _busy(live: dict[str, Any]) -> str:
    begun = [trial for trial in live["running"] if trial["silent_s"] is not None]
    parts = [f"{live['images_per_second']:,.0f} images/s in the last minute"]
    if live["cpu"] is not None:
        parts.append(f"{live['cpu']:.0%} of the CPU cores of {counted(len(begun), 'trial')} busy")
    if live["gpu"] is not None:
        parts.append(f"{live['gpu']:.0%} of {counted(live['gpus'], 'GPU')} with a trial busy")
    if live["waiting_for_a_place"]:
        parts.append(f"{counted(live['waiting_for_a_place'], 'trial')} waiting for a place")
    return "; ".join(parts)


def _running(live: dict[str, Any]) -> Table:
    """Running trials, those that stand out first; a column that nobody fills is left out."""
    trials = sorted(live["running"], key=lambda trial: trial["straggler"] is None)
    shown = trials[:_ROWS]
    table = Table()
    columns = {title: [cell(trial) for trial in shown] for title, cell in _COLUMNS.items()}
    filled = {title: cells for title, cells in columns.items() if any(cells)}
    for title in filled:
        left = title in ("running", "where")
        table.add_column(title, justify="left" if left else "right")
    for row in zip(*filled.values(), strict=True):
        table.add_row(*row)
    if len(trials) > _ROWS:
        table.caption = f"and {len(trials) - _ROWS} more (--json has all)"
    return table


def _mlflow(status: dict[str, Any], where: str) -> list[str]:
    waiting, refused = status["mlflow"]["waiting"], status["mlflow"]["refused"]
    parts = []
    if waiting:
        verb = "waits" if waiting == 1 else "wait"
        parts.append(f"{counted(waiting, 'record')} {verb} for MLflow")
    if waiting and status["state"] != "running":
        parts[-1] += f"; deliver with:  {program()} sync {where}"
    if refused:
        parts.append(f"MLflow refused {counted(refused, 'value')}")
    return parts


def _failure(group: dict[str, Any]) -> str:
    trials = group["trials"]
    more = f" and {len(trials) - _NAMES} more" if len(trials) > _NAMES else ""
    return f"{len(trials)} failed: {group['reason']} ({', '.join(trials[:_NAMES])}{more})"


def _sign(trial: dict[str, Any]) -> str:
    silent = trial["silent_s"]
    return "waiting" if silent is None else f"{duration(silent)} ago"


def _speed(trial: dict[str, Any]) -> str:
    speed = trial["images_per_second"]
    return "" if speed is None else f"{speed:,.0f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "running": lambda trial: str(trial["trial"]),
    "images seen": lambda trial: f"{trial['images']:,}",
    "images/s": _speed,
    "last sign": _sign,
    "CPU": lambda trial: _share(trial["cpu"]),
    "GPU": lambda trial: _share(trial["gpu"]),
    "restarts": lambda trial: str(trial["restarts"] or ""),
    "where": lambda trial: trial["host"] or "",
}
