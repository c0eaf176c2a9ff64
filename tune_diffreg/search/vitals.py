"""What a trial's process says of itself beside its results: how busy it is, and what was logged."""

from __future__ import annotations

import logging
import os
from typing import Any

import psutil
import torch

from tune_diffreg.study import Resources

_MOST_NOTES = 20
"""Between two results; a process that logs without end is no reason to send all of it."""


class Vitals:
    """How busy the trial's cores and its GPU are.

    Args:
        resources: what the trial was given; without a share of a GPU none is asked.
    """

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call of a process sets the mark

    def measured(self) -> dict[str, Any]:
        """Shares from 0 to 1: `cpu` of the trial's cores since the last call, and `gpu` of the
        device now, which is named by `device`; both None where there is none to ask."""
        busy = self._process.cpu_percent() / 100 / max(1, self._resources.cpu)
        device = os.environ.get("CUDA_VISIBLE_DEVICES", "0") if self._resources.gpu else None
        return {"cpu": round(busy, 3), "device": device, "gpu": self._of_gpu()}

    def _of_gpu(self) -> float | None:
        if not self._resources.gpu:
            return None
        try:
            return torch.cuda.utilization() / 100
        except Exception:  # a driver that cannot be asked (MIG, no NVML) is no reason to stop
            return None


class Notes(logging.Handler):
    """Keeps warnings that are logged here until they are sent to the driver's log."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._kept: list[dict[str, Any]] = []
        logging.getLogger("tune_diffreg").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if len(self._kept) >= _MOST_NOTES:
            return
        note = {"level": record.levelno, "logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0]:
            note["traceback"] = logging.Formatter().formatException(record.exc_info)
        self._kept.append(note)

    def taken(self) -> list[dict[str, Any]]:
        """What was logged since this was last asked."""
        kept, self._kept = self._kept, []
        return kept
