"""Which studies a storage holds and how each stands: one that is damaged hides no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tune_diffreg.errors import InputError, did_you_mean
from tune_diffreg.mirror import address_of, mirror_of
from tune_diffreg.results.folder import StudyFolder
from tune_diffreg.results.summary import read_state
from tune_diffreg.secrets import plain_line
from tune_diffreg.study.settings import is_name

DAMAGED = "damaged"
"""The state of a study that cannot be read; its row has `study`, `state` and `reason` alone."""


def list_studies(storage: Path) -> list[StudyFolder]:
    """All studies in a storage, by name; of one elsewhere nothing else is known yet."""
    mirror = mirror_of(storage)
    if mirror is not None:
        for name in filter(is_name, mirror.names()):
            mirror.fetch(StudyFolder(storage, name).study)
    found = storage.glob("*/study.yaml") if storage.is_dir() else iter(())
    return sorted((StudyFolder(storage, p.parent.name) for p in found), key=lambda f: f.name)


def list_states(storage: Path) -> list[dict[str, Any]]:
    """A row for each study: its summary as it stands now, or why it cannot be read."""
    return [_row(folder) for folder in list_studies(storage)]


def open_study(storage: Path, name: str) -> StudyFolder:
    """The folder of an existing study, with what is known of it.

    Raises:
        InputError: there is none of that name.
    """
    folder = StudyFolder(storage, name)
    if is_name(name):
        folder.refresh()  # of this study alone: others may be many, and large
    if not is_name(name) or not folder.study.exists():
        known = [other.name for other in list_studies(storage)]
        hint = did_you_mean(name, known) or (f"; there are {', '.join(known)}" if known else "")
        raise InputError(f"no study {name!r} in {address_of(storage)}{hint}")
    return folder


def _row(folder: StudyFolder) -> dict[str, Any]:
    try:
        folder.refresh()
        return read_state(folder)
    except (InputError, OSError) as error:
        return {"study": folder.name, "state": DAMAGED, "reason": plain_line(str(error))}
