"""The memory of its machine that a trial may take."""

from __future__ import annotations

import resource
from contextlib import suppress
from pathlib import Path

GIB = 2**30
_STATUS = Path("/proc/self/status")
_CONTAINER_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


class OverMemory(Exception):
    """A trial holds more than `resources.memory`. The text says how much."""


class MemoryBound:
    """Bounds what this process holds of the machine's memory.

    What grows step by step is seen by `check`. A single allocation may be larger than all that the
    machine has left; where `hard`, one that by itself goes beyond the bound fails at once.

    Args:
        gib: the bound; None is none.
        hard: not beside CUDA, which reserves address space that it never uses.
    """

    def __init__(self, gib: float | None, hard: bool) -> None:
        self._gib = gib
        if gib is not None and hard and (reserved := _reserved()) is not None:
            most = reserved + round(gib * GIB)
            resource.setrlimit(resource.RLIMIT_DATA, (most, resource.RLIM_INFINITY))

    def check(self) -> None:
        """Raises OverMemory where this process holds more."""
        if self._gib is not None and (held := held_memory()) > self._gib * GIB:
            raise OverMemory(f"{self.sentence} ({held / GIB:.1f} GiB)")

    def refused(self, error: Exception) -> bool:
        """Whether `error` says that there was no memory to be had within the bound."""
        out = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
        return self._gib is not None and out

    @property
    def sentence(self) -> str:
        return f"needed more than resources.memory {self._gib:g} GiB"


def held_memory() -> int:
    """Bytes that this process holds, without what it shares with others."""
    import psutil

    info = psutil.Process().memory_info()
    held: int = info.rss - getattr(info, "shared", 0)
    return held


def machine_memory() -> int:
    """Bytes that this machine has, or its container allows."""
    import psutil

    most: list[int] = [psutil.virtual_memory().total]
    for limit in _CONTAINER_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or "max"
            most.append(int(limit.read_text()))
    return min(most)


def _reserved() -> int | None:
    """Bytes of address space that count against RLIMIT_DATA; None where that is not known."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields["VmData"].split()[0]) * 1024
