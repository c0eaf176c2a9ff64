"""What a trial's process says of itself beside its results."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.conftest import tiny_study
from tests.search.test_actor import actor, run
from tune_diffreg.search.checkpoint import LATEST
from tune_diffreg.search.vitals import Notes, Vitals
from tune_diffreg.study import Resources

log = logging.getLogger("tune_diffreg.somewhere")


@pytest.fixture(autouse=True)
def _no_handlers_left() -> Iterator[None]:
    ours = logging.getLogger("tune_diffreg")
    before = list(ours.handlers)
    yield
    ours.handlers[:] = before


def test_cpu_is_the_share_of_the_trials_cores_that_were_busy() -> None:
    vitals = Vitals(Resources(cpu=1, gpu=0))
    halves = Vitals(Resources(cpu=2, gpu=0))
    vitals.measured(), halves.measured()
    until = time.process_time() + 0.3
    while time.process_time() < until:
        pass
    busy, half = vitals.measured()["cpu"], halves.measured()["cpu"]
    assert 0.05 < busy < 1.3  # other processes may have had the core meanwhile
    assert half == pytest.approx(busy / 2, rel=0.2)
    time.sleep(0.3)
    assert vitals.measured()["cpu"] < 0.3


def test_without_a_gpu_none_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "utilization", lambda: 1 / 0)
    measured = Vitals(Resources(cpu=1, gpu=0)).measured()
    assert measured["gpu"] is measured["device"] is None


def test_a_gpu_is_named_and_one_that_cannot_be_asked_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    monkeypatch.setattr(torch.cuda, "utilization", lambda: 87)
    vitals = Vitals(Resources(cpu=1, gpu=0.5))
    assert vitals.measured() | {"cpu": 0} == {"cpu": 0, "device": "3", "gpu": 0.87}

    def unknown() -> int:
        raise RuntimeError("NVML is not there")

    monkeypatch.setattr(torch.cuda, "utilization", unknown)
    assert vitals.measured()["gpu"] is None


def test_warnings_are_kept_until_they_are_taken_and_not_without_end() -> None:
    notes = Notes()
    log.info("chatter")
    try:
        raise OSError("no space")
    except OSError:
        log.exception("%s cannot be used", "checkpoint.pt")
    (note,) = notes.taken()
    assert note["message"] == "checkpoint.pt cannot be used"
    assert note["level"] == logging.ERROR
    assert note["logger"] == "tune_diffreg.somewhere"
    assert note["traceback"].endswith("OSError: no space")
    assert notes.taken() == []
    for number in range(1000):
        log.warning("%d", number)
    assert len(notes.taken()) == 20


def test_a_damaged_checkpoint_that_an_actor_finds_is_told_with_its_next_result(
    tmp_path: Path,
) -> None:
    study = tiny_study()
    subject = actor(study, tmp_path)
    result = run(subject)
    assert result["notes"] == []
    assert result["images_per_second"] > 1
    assert result["cpu"] > 0

    checkpoint = tmp_path / study.name / "trials" / "t0000" / LATEST
    damaged = bytearray(checkpoint.read_bytes())
    damaged[100] ^= 1
    checkpoint.write_bytes(damaged)
    again = actor(study, tmp_path)
    (note,) = run(again)["notes"]
    assert "checkpoint.pt cannot be used (its checksum is wrong)" in note["message"]
    assert note["logger"] == "tune_diffreg.search.checkpoint"


def test_an_exception_in_a_trial_comes_with_its_traceback(tmp_path: Path) -> None:
    study = tiny_study()
    in_the_way = tmp_path / study.name / "trials" / "t0000"
    in_the_way.parent.mkdir(parents=True)
    in_the_way.write_text("in the way")
    result = run(actor(study, tmp_path))
    assert "Error" in result["failure"]
    note = result["notes"][-1]
    assert note["message"] == "the trial broke off"
    assert "Traceback" in note["traceback"]
