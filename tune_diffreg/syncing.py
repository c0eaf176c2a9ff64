"""The last delivery to MLflow: at a study's end, or later where MLflow was away."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.production import export
from tune_diffreg.results import StudyFolder, read_state
from tune_diffreg.tracking import ENDING_SECONDS, Follower, Outcome, study_delivery
from tune_diffreg.words import counted


def sync_study(folder: StudyFolder) -> dict[str, Any]:
    """Delivers all of a study that MLflow does not have, however it ended; twice is as once.

    Returns:
        `study`, how many records were `delivered`, are `waiting`, were `refused` (by all
        deliveries), and `refusals`, the file that names those, or None.

    Raises:
        InputError: a process is running the study; that one delivers.
        WorkFailed: MLflow has not taken everything.
    """
    study = folder.read_study()
    with folder.lock():
        follower = Follower(study_delivery(study, folder, live=False))
        outcome = deliver_rest(follower, folder, read_state(folder, running=False), None)
    if outcome.problem:
        raise WorkFailed(
            f"MLflow has not taken everything ({outcome.problem}): "
            f"{counted(outcome.delivered, 'record')} delivered, {outcome.waiting:,} wait"
        )
    return {
        "study": study.name,
        "delivered": outcome.delivered,
        "waiting": outcome.waiting,
        "refused": outcome.refused,
        "refusals": str(outcome.refusals) if outcome.refused else None,
    }


def synced(found: dict[str, Any]) -> str:
    """What `sync_study` returned, as a person reads it."""
    told = f"{found['study']}: {counted(found['delivered'], 'record')} delivered, none waits"
    if found["refused"]:
        told += f"; MLflow refused {counted(found['refused'], 'value')}: {found['refusals']}"
    return told


def deliver_rest(
    follower: Follower,
    folder: StudyFolder,
    summary: dict[str, Any] | None,
    seconds: float | None = ENDING_SECONDS,
) -> Outcome:
    """Closes a study's follower, with its results and the model that it chose.

    Args:
        summary: None where the study broke off without one.
        seconds: that MLflow is waited for at most; None: as long as it takes what it is sent.
    """
    with _exported(folder, summary) as model:
        return follower.close(summary, model, seconds)


@contextmanager
def _exported(folder: StudyFolder, summary: dict[str, Any] | None) -> Iterator[Path | None]:
    """What the study chose, as a folder for a while; None where it has not ended with something."""
    if summary is None or summary["state"] != "complete" or summary["best"] is None:
        yield None
        return
    with TemporaryDirectory() as temporary:
        target = Path(temporary) / folder.name
        try:
            export(folder, target)
        except (InputError, OSError) as error:  # weights that are damaged or removed; a full disk
            logging.getLogger(__name__).warning("no model for MLflow: %s", error)
            yield None
            return
        yield target
