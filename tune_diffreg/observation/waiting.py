"""How much MLflow has not been told yet."""

from __future__ import annotations

import json

from tune_diffreg.results import StudyFolder

_BLOCK = 1 << 20


def records_waiting(folder: StudyFolder) -> int | None:
    """Records of the journal that MLflow has not taken yet; None where that cannot be told."""
    try:
        with folder.journal.open("rb") as journal:
            journal.seek(_delivered(folder))
            return sum(block.count(b"\n") for block in iter(lambda: journal.read(_BLOCK), b""))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


def _delivered(folder: StudyFolder) -> int:
    try:
        return int(json.loads(folder.delivery.read_text())["delivered"])
    except FileNotFoundError:
        return 0
