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

from tune_diffreg.errors import InputError
from tune_diffreg.factory import in_a_line
from tune_diffreg.results.journal import cut_torn_line


class ProposalStorage(JournalStorage):
    """Optuna's journal storage, which waits for the disk when it is told to, not at each operation.

    A proposal is ten operations and must be on the disk before the study's journal names it, once.
    What a trial reports and how it ends is in that journal already and is told again from there.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(OptunaFile(str(path), lock_obj=_FolderIsLocked(str(path))))
        self._path = path

    def sync(self) -> None:
        """Returns once all operations are on the disk."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


def open_storage(path: Path) -> ProposalStorage:
    """Opens or makes the file, to write to it; one process at a time, as for the study's folder.

    Raises:
        InputError: it is damaged.
    """
    cut_torn_line(path)
    with damage_told(path):
        return ProposalStorage(path)


@contextmanager
def damage_told(path: Path | None) -> Iterator[None]:
    """Says in a sentence what Optuna raises on reading what it did not write.

    Raises:
        InputError: the file is damaged.
    """
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:  # of whatever kind
        raise InputError(f"{path}: is damaged ({in_a_line(error)[:200]})") from None


class OptunaFile(JournalFileBackend):
    """Appends without waiting for the disk."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = (json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with Path(self._file_path).open("ab") as file:
            file.write("".join(lines).encode())


class _FolderIsLocked(JournalFileOpenLock):
    """No lock of its own: one that a killed process left would hold the next one up."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
