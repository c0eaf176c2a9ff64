"""Where Optuna's study is kept: a file of Optuna's own journal storage, a line an operation.

Unlike SQLite it asks no file locks of a network file system, and an operation costs an append.
`optuna-dashboard` opens it at any time, also while a study runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

from tune_diffreg.files import append_durably
from tune_diffreg.patience import Patiently, at_once
from tune_diffreg.results.journal import cut_torn_line


def open_storage(path: Path, patiently: Patiently = at_once) -> JournalStorage:
    """Opens or makes the file, to write to it; one process at a time, as for the study's folder.

    Args:
        patiently: writes again while the storage cannot be written.
    """
    return JournalStorage(_Backend(path, patiently))


class _Backend(JournalFileBackend):
    """Optuna's, save that it writes operations whole or not at all."""

    def __init__(self, path: Path, patiently: Patiently) -> None:
        self._path = path
        self._patiently = patiently
        self._end = patiently(lambda: cut_torn_line(path))
        super().__init__(str(path), lock_obj=_FolderIsLocked(str(path)))

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._end = self._patiently(lambda: append_durably(self._path, self._end, lines))


class _FolderIsLocked(JournalFileOpenLock):
    """No lock of its own: one that a killed process left would hold the next one up."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass
