"""Where a study stands: its results so far, and what it is doing now."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any

from tune_diffreg.mirror import fetch
from tune_diffreg.observation.live import Live, out_of_date, read_live
from tune_diffreg.observation.stragglers import stragglers
from tune_diffreg.results import (
    Repetition,
    StudyFolder,
    TrialRecord,
    read_journal,
    read_state,
    repetitions,
    replay,
)
from tune_diffreg.tracking import Spool

_NUMBER = re.compile(r"\d[\d,.]*")


def read_status(folder: StudyFolder, now: float | None = None) -> dict[str, Any]:
    """What `status --json` prints: the summary as it stands, and what docs/observing.md lists.

    Args:
        now: seconds since 1970; the clock if left out.
    """
    state = read_state(folder)
    events = read_journal(folder.journal) if folder.journal.exists() else []
    trials: list[TrialRecord | Repetition] = [*replay(events).values()]
    trials += repetitions(events).values()
    live, note = read_live(folder)
    running = state["state"] == "running"
    if live is not None and running:
        note = out_of_date(live, time.time() if now is None else now)
    current = live if running and not note else None
    return {
        **state,
        "failures": failures(trials),
        "mlflow": _mlflow(folder, running),
        "session": live and _session(live),
        "live": current and _live(current),
        "note": note or None,
    }


def failures(trials: Iterable[TrialRecord | Repetition]) -> list[dict[str, Any]]:
    """Failed trials by their reasons, the most frequent first; two that differ in numbers alone
    are one reason, told as it was first."""
    groups: dict[str, dict[str, Any]] = {}
    for trial in trials:
        if trial.state == "failed":
            reason = trial.reason or "no reason is known"
            group = groups.setdefault(_NUMBER.sub("0", reason), {"reason": reason, "trials": []})
            group["trials"].append(trial.id)
    return sorted(groups.values(), key=lambda group: -len(group["trials"]))


def _mlflow(folder: StudyFolder, running: bool) -> dict[str, int]:
    fetch(folder.delivery)
    spool = Spool(folder.journal, folder.delivery)
    return {"waiting": spool.waiting() if running else spool.owed(), "refused": spool.refused()}


def _session(live: Live) -> dict[str, Any]:
    """Of the process that runs the study, or that ran it last."""
    return {"host": live.host, "pid": live.pid, "time": live.time, "state": live.state}


def _live(live: Live) -> dict[str, Any]:
    outstanding = stragglers(live)
    return {
        "images_per_second": live.images_per_second,
        "cpu": live.cpu,
        "gpu": live.gpu,
        "gpus": len(live.devices),
        "longest_pause_s": live.longest_pause_s,
        "waiting_for_a_place": sum(not trial.begun for trial in live.running),
        "running": [
            {**trial.model_dump(), "straggler": outstanding.get(trial.trial)}
            for trial in live.running
        ],
    }
