"""What is said and done about the memory of a device; what CUDA would answer is stood in for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from tests.conftest import tiny_study
from tune_diffreg.diffusion import device as module
from tune_diffreg.diffusion.device import (
    bound_memory,
    device_for,
    device_memory,
    does_not_fit,
    is_out_of_memory,
)
from tune_diffreg.diffusion.loss import scoring_batch
from tune_diffreg.study import Resources


@pytest.fixture
def fraction(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Of a card of 80 GB, what this process may take."""
    card = SimpleNamespace(may=1.0)
    monkeypatch.setattr(
        torch.cuda, "set_per_process_memory_fraction", lambda may: setattr(card, "may", may)
    )
    monkeypatch.setattr(torch.cuda, "get_per_process_memory_fraction", lambda _: card.may)
    whole = SimpleNamespace(total_memory=80 * 10**9)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: whole)
    return card


@pytest.mark.parametrize(("gpu", "may"), [(0.25, 0.225), (0.5, 0.45), (1.0, 1.0), (0.0, 1.0)])
def test_a_packed_trial_is_bound_to_its_share_less_room_for_its_context(
    fraction: SimpleNamespace, gpu: float, may: float
) -> None:
    bound_memory(Resources(gpu=gpu))
    assert fraction.may == pytest.approx(may)
    assert device_memory(torch.device("cuda")) == pytest.approx(may * 80e9)
    assert device_memory(torch.device("cpu")) == 0
    assert device_for(Resources(gpu=gpu)).type == ("cuda" if gpu else "cpu")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be reported later"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"),
    ],
)
def test_a_device_without_memory_left_says_so_in_several_ways(error: Exception) -> None:
    assert is_out_of_memory(error)


def test_other_errors_are_none_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("CUDA error: an illegal memory access"))
    assert not is_out_of_memory(MemoryError())


def test_the_sentence_names_what_can_be_changed() -> None:
    study = tiny_study("training.batch_size=48")
    assert does_not_fit(study, Resources(gpu=0.25), 1200, scoring=False) == (
        "out of memory on the device in training, by 1,200 images seen: with training.batch_size "
        "48 it does not fit into its share of a GPU (resources.gpu 0.25); pack fewer on one, or "
        "choose a smaller batch"
    )
    scored = does_not_fit(study, Resources(gpu=0.25), 1200, scoring=True)
    assert "while it was scored" in scored
    assert scored.endswith("choose a smaller model")


def test_scoring_takes_fewer_of_larger_images() -> None:
    found = [scoring_batch((5, 3, side, side)) for side in (8, 32, 64, 256, 2048)]
    assert found == [256, 256, 64, 4, 1]


def test_memory_is_freed_whether_or_not_there_is_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(True))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    module.free_memory()
    assert emptied == [True]
