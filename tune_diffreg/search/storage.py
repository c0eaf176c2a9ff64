"""Where Optuna's study is kept: a file of Optuna's own journal storage, a line an operation.

Unlike SQLite it asks no file locks of a network file system, and an operation costs an append.
`optuna-dashboard` opens it at any time, also while a study runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.factory import in_a_line
from tune_diffreg.files import append, append_durably
from tune_diffreg.patience import Patiently, at_once
from tune_diffreg.results.journal import cut_torn_line


class ProposalStorage(JournalStorage):
    """Optuna's journal storage, which waits for the disk when it is told to, not at each operation.

    A proposal is ten operations and must be on the disk before the study's journal names it, once.
    What a trial reports and how it ends is in that journal already and is told again from there.
    """

    def __init__(self, path: Path, patiently: Patiently) -> None:
        self._file = OptunaFile(path, patiently)
        super().__init__(self._file)

    def sync(self) -> None:
        """Returns once all operations are on the disk."""
        self._file.sync()


def open_storage(path: Path, patiently: Patiently = at_once) -> ProposalStorage:
    """Opens or makes the file, to write to it; one process at a time, as for the study's folder.

    Args:
        patiently: writes again while the storage cannot be written.

    Raises:
        InputError: it is damaged.
    """
    with damage_told(path):
        return ProposalStorage(path, patiently)


@contextmanager
def damage_told(path: Path | None) -> Iterator[None]:
    """Says in a sentence what Optuna raises on reading what it did not write.

    Raises:
        InputError: the file is damaged.
    """
    try:
        yield
    except (InputError, WorkFailed, OSError):
        raise
    except Exception as error:  # of whatever kind
        raise InputError(f"{path}: is damaged ({in_a_line(error)[:200]})") from None


class OptunaFile(JournalFileBackend):
    """Appends operations whole or not at all, and without waiting for the disk."""

    def __init__(self, path: Path, patiently: Patiently) -> None:
        self._path = path
        self._patiently = patiently
        self._synced = self._end = patiently(lambda: cut_torn_line(path))
        self._unsynced = b""
        super().__init__(str(path), lock_obj=_FolderIsLocked(str(path)))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._end = self._patiently(lambda: append(self._path, self._end, lines))
        self._unsynced += lines

    def sync(self) -> None:
        """Returns once all is on the disk; a disk that lost some of it is given it once more."""
        try:
            with self._path.open("rb") as file:
                os.fsync(file.fileno())
        except OSError:
            self._patiently(lambda: append_durably(self._path, self._synced, self._unsynced))
        self._synced, self._unsynced = self._end, b""


class _FolderIsLocked(JournalFileOpenLock):
    """No lock of its own: one that a killed process left would hold the next one up."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
