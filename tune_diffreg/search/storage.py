"""Where Optuna's study is kept: a file of Optuna's own journal storage, a line an operation.

Unlike SQLite it asks no file locks of a network file system, and an operation costs an append.
`optuna-dashboard` opens it at any time, also while a study runs.
"""

from __future__ import annotations

from pathlib import Path

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

from tune_diffreg.results.journal import cut_torn_line


def open_storage(path: Path) -> JournalStorage:
    """Opens or makes the file, to write to it; one process at a time, as for the study's folder."""
    cut_torn_line(path)
    return JournalStorage(JournalFileBackend(str(path), lock_obj=_FolderIsLocked(str(path))))


class _FolderIsLocked(JournalFileOpenLock):
    """No lock of its own: one that a killed process left would hold the next one up."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
