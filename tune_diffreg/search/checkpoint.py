"""What a trial goes on from, kept such that damage is noticed and costs one step back at most.

A file is `torch.save`'s bytes and their SHA-256. Beside the latest lies the one before it.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from tune_diffreg.files import HALF_WRITTEN, read_sealed, write_sealed
from tune_diffreg.mirror import fetch, mirror_of, withdraw
from tune_diffreg.patience import passes

log = logging.getLogger(__name__)

LATEST = "checkpoint.pt"
BEFORE = "checkpoint.before.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> None:
    """Writes `state`, durably; a crash at any moment leaves a whole checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    latest = folder / LATEST
    if latest.exists():
        latest.replace(folder / BEFORE)
    write_sealed(latest, buffer.getvalue())


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The latest state in `folder` that is whole, on the CPU; None if there is none.

    Going on from an earlier one takes longer and gives the same to the bit.

    Raises:
        OSError: the storage does not answer now; whether there is one is not known.
    """
    fetch(folder / LATEST)  # another machine may have gone on with it
    for name in (LATEST, BEFORE):
        path = folder / name
        try:
            return _read(path)
        except FileNotFoundError:
            continue
        except Exception as error:  # torch raises many kinds on reading what it did not write
            if isinstance(error, OSError) and passes(error):
                raise
            log.warning("%s cannot be used (%s); the trial goes on from further back", path, error)
            with suppress(OSError):  # or the next save would put it in place of a whole one
                path.unlink()
    return None


def remove_checkpoints(folder: Path) -> None:
    """Removes what a trial that has ended no longer needs."""
    withdraw(folder / LATEST)
    for path in (folder / BEFORE, *folder.glob(HALF_WRITTEN)):
        path.unlink(missing_ok=True)


def remove_leftovers(study: Path, ended: Collection[str]) -> None:
    """Removes what a process that was killed left in the folder of a study and nobody needs: files
    half-written, and checkpoints of the trials that have `ended`."""
    for path in (*study.glob(HALF_WRITTEN), *study.glob(f"trials/*/{HALF_WRITTEN}")):
        path.unlink(missing_ok=True)
    left = {path.parent for path in study.glob("trials/*/checkpoint*.pt")}
    mirror = mirror_of(study)
    if mirror is not None:
        left |= {path.parent for path in mirror.found(study / "trials", LATEST)}
    for folder in left:
        if folder.name in ended:
            remove_checkpoints(folder)


def _read(path: Path) -> dict[str, Any]:
    content = io.BytesIO(read_sealed(path))
    state: dict[str, Any] = torch.load(content, map_location="cpu", weights_only=True)
    return state
