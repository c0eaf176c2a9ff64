"""The actor of a trial, without Ray: what a failure leaves, and what is kept for the next one."""

from __future__ import annotations

import errno
import os
import re
import resource
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import tiny_study
from tune_diffreg.diffusion import Network, Trainer
from tune_diffreg.search.actor import Shared, TrialActor
from tune_diffreg.search.trial import load_materials
from tune_diffreg.study import Study


def assignment(study: Study, trial: str, **values: Any) -> dict[str, Any]:
    """What the driver tells an actor about a trial."""
    config = study.trial_config(values).model_dump(mode="json")
    return {"trial_id": trial, "config": config, "reported": []}


def actor(study: Study, folder: Path) -> TrialActor:
    _, materials = load_materials(study, threads=1)
    made = object.__new__(TrialActor)  # Ray would build it in a process of its own
    shared = Shared(materials, study.rungs(), study.name, str(folder), study.resources)
    made.setup(assignment(study, "t0000"), shared)
    return made


def run(subject: TrialActor) -> dict[str, Any]:
    """Steps until there is a rung or a failure."""
    while True:
        result = subject.step()
        if "rung" in result or "failure" in result:
            return result


@pytest.mark.parametrize(
    ("broken_off", "when"),
    [
        ("step", "in training, by 0 images"),
        ("choose_average", "while it was scored, by 320 images"),
    ],
)
def test_out_of_memory_fails_the_trial_with_a_sentence_and_not_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken_off: str, when: str
) -> None:
    study = tiny_study("training.batch_size=16")
    subject = actor(study, tmp_path)
    with monkeypatch.context() as broken:

        def full(*_: object) -> None:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")

        broken.setattr(Trainer, broken_off, full)
        failure = run(subject)["failure"]
    assert failure.startswith(
        f"out of memory on the device {when} seen: with training.batch_size 16"
    )
    assert subject.reset_config(assignment(study, "t0001"))
    assert run(subject)["rung"] == study.rungs()[0]


def test_an_actor_keeps_its_network_for_trials_that_it_fits(tmp_path: Path) -> None:
    study = tiny_study()
    subject = actor(study, tmp_path / "used")
    first = run(subject)["scores"]
    network = subject._network
    subject.reset_config(
        assignment(study, "t0001", **{"regularization.residual_dropout": 0.3, "training.seed": 5})
    )
    assert run(subject)["scores"] != first
    assert subject._network is network
    subject.reset_config(assignment(study, "t0002"))
    assert run(subject)["scores"] == first


def test_a_network_that_does_not_fit_is_gone_before_the_next_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = actor(tiny_study(), tmp_path)
    subject.step()
    first = weakref.ref(subject._network)
    alive = []
    build = Network.__init__

    def built(self: Network, *arguments: Any) -> None:
        alive.append(first())
        build(self, *arguments)

    monkeypatch.setattr(Network, "__init__", built)
    subject.reset_config(assignment(tiny_study(), "t0001", **{"training.batch_size": 16}))
    subject.step()
    assert alive == [None]


def test_a_trial_waits_for_its_storage_with_a_sign_of_life_and_scores_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study()
    expected = run(actor(study, tmp_path / "straight"))
    subject = actor(study, tmp_path / "full")
    monkeypatch.setattr("tune_diffreg.search.actor.PAUSE_SECONDS", 0.0)
    fsync, left = os.fsync, iter(range(5))

    def full(file: int) -> None:
        if next(left, None) is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(file)

    monkeypatch.setattr(os, "fsync", full)
    results = []
    while not results or "rung" not in results[-1]:
        results.append(subject.step())
    *waiting, last = results
    assert {result["waiting"] for result in waiting} == {"No space left on device"}
    assert last["waiting"] is None
    assert (last["rung"], last["scores"]) == (expected["rung"], expected["scores"])
    kept = [
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.png")}
        for name in ("full", "straight")
    ]
    assert kept[0] == kept[1]
    assert len(list((tmp_path / "full").rglob("*.pt"))) == 1
    assert not list((tmp_path / "full").rglob("*.tmp"))


def test_a_checkpoint_that_cannot_be_read_now_is_waited_for_and_not_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study()
    assert run(actor(study, tmp_path))["images"] == study.rungs()[0]
    subject = actor(study, tmp_path)
    monkeypatch.setattr("tune_diffreg.search.actor.PAUSE_SECONDS", 0.0)
    with monkeypatch.context() as broken:

        def stale(_: Path) -> bytes:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

        broken.setattr(Path, "read_bytes", stale)
        assert subject.step()["waiting"] == "Stale file handle"
    assert subject.step()["images"] >= study.rungs()[0]


def test_a_trial_that_is_asked_to_leave_makes_a_checkpoint_and_ends_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study("training.images=64000", "halving=null")
    monkeypatch.setattr("tune_diffreg.search.actor.SLICE_SECONDS", 0.5)
    subject = actor(study, tmp_path)
    subject.step()
    subject.step()
    images = subject._result()["images"]
    subject.leave()
    last = subject.step()
    assert (last["images"], last["exits"]) == (images, True)
    with pytest.raises(BaseException, match=r"exit|actor"):
        subject.step()
    assert actor(study, tmp_path).step()["images"] > images


def test_a_trial_that_takes_more_memory_than_it_may_fails_with_a_sentence(tmp_path: Path) -> None:
    study = tiny_study("resources.memory=0.01")
    subject = actor(study, tmp_path)
    resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY,) * 2)  # of this process
    result = run(subject)
    assert result["exits"]
    assert re.fullmatch(
        r"needed more than resources\.memory 0\.01 GiB \(\d+\.\d GiB\)", result["failure"]
    )
