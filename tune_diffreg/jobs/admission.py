"""Whether a study may begin in a storage: asked where the storage is, before it is submitted."""

from __future__ import annotations

from pathlib import Path

from tune_diffreg.errors import InputError
from tune_diffreg.results import StudyFolder, read_journal
from tune_diffreg.results.summary import has_ended
from tune_diffreg.study import Study


def admit(study: Study, storage: Path) -> None:
    """Changes nothing.

    Raises:
        InputError: the study's name is taken there: one of it runs, is complete, or is another.
    """
    folder = StudyFolder(storage, study.name)
    folder.refresh()
    if not folder.study.exists():
        return
    if folder.read_study() != study:
        raise InputError(
            f"there is a study {study.name!r} already, made from another file; go on with that "
            f"one by `resume {study.name}`, or choose another name (--set name=...)"
        )
    if folder.is_locked():
        raise InputError(f"study {study.name!r} runs already; see `status {study.name}`")
    if folder.journal.exists() and has_ended(read_journal(folder.journal)):
        raise InputError(
            f"study {study.name!r} has ended already; see `status {study.name}`, or choose "
            "another name (--set name=...)"
        )
