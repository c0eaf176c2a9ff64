"""The bound on a trial's memory, in processes of their own."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable

import psutil
import pytest
import torch

from tune_diffreg.memory import (
    GIB,
    MemoryBound,
    OverMemory,
    held_memory,
    machine_memory,
)


def in_a_process(work: Callable[[], None]) -> int | None:
    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    process.join()
    return process.exitcode


def grows() -> None:
    bound = MemoryBound(held_memory() / GIB + 0.25, hard=False)
    kept = []
    with pytest.raises(OverMemory, match=r"needed more than resources\.memory .* GiB \("):
        while len(kept) < 100:
            kept.append(bytearray(os.urandom(2**20)) * 10)
            bound.check()
    assert len(kept) > 10


def asks_for_too_much_at_once() -> None:
    bound = MemoryBound(0.5, hard=True)
    torch.zeros(2**20)
    with pytest.raises(RuntimeError) as refused:
        torch.zeros(2**30)
    assert bound.refused(refused.value)
    with pytest.raises(MemoryError) as error:
        bytearray(2**30)
    assert bound.refused(error.value)
    assert not bound.refused(ValueError("of something else"))


@pytest.mark.parametrize("work", [grows, asks_for_too_much_at_once])
def test_more_than_the_bound_is_noticed(work: Callable[[], None]) -> None:
    assert in_a_process(work) == 0


def test_without_a_bound_nothing_is() -> None:
    bound = MemoryBound(None, hard=True)
    bound.check()
    assert not bound.refused(MemoryError())


def test_a_machine_has_at_most_what_its_kernel_says() -> None:
    assert 0 < machine_memory() <= psutil.virtual_memory().total
