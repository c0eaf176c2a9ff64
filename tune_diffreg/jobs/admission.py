"""Whether a study may begin or go on in a storage: asked where the storage is, by `submit` and
`resume`, before they start anything."""

from __future__ import annotations

from pathlib import Path

from tune_diffreg.errors import InputError
from tune_diffreg.mirror import address_of, mirror_of
from tune_diffreg.results import StudyFolder, open_study, read_journal
from tune_diffreg.results.trials import has_ended
from tune_diffreg.study import Study


def admit(study: Study, storage: Path) -> str:
    """Changes nothing.

    Returns:
        The storage's address.

    Raises:
        InputError: the study's name is taken there: one of it runs, has ended, or is another.
    """
    address = _address(storage)
    folder = StudyFolder(storage, study.name)
    folder.refresh()
    if folder.study.exists():
        if folder.read_study() != study:
            raise InputError(
                f"there is a study {study.name!r} already, made from another file; go on with that "
                f"one by `resume {study.name}`, or choose another name (--set name=...)"
            )
        _require_something_to_do(folder)
    return address


def readmit(name: str, storage: Path) -> str:
    """The same for a study that is there.

    Raises:
        InputError: it is not there, runs, or has ended.
    """
    address = _address(storage)
    _require_something_to_do(open_study(storage, name))
    return address


def _require_something_to_do(folder: StudyFolder) -> None:
    if folder.is_locked():
        raise InputError(f"study {folder.name!r} runs already; see `status {folder.name}`")
    if folder.journal.exists() and has_ended(read_journal(folder.journal)):
        raise InputError(
            f"study {folder.name!r} has ended already; see `status {folder.name}`, or choose "
            "another name (--set name=...)"
        )


def _address(storage: Path) -> str:
    if mirror_of(storage) is None and not storage.is_absolute():
        raise InputError(
            "--storage is missing, and the cluster names none (TUNE_DIFFREG_STORAGE); give a "
            "folder that all its machines see, such as /mnt/studies, or s3://bucket/folder"
        )
    return address_of(storage)
