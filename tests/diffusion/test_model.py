"""A model of one's own: what it is called with, and what is said where it does not fit."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn

from tests.conftest import tiny_study
from tune_diffreg.data import load_splits
from tune_diffreg.diffusion import Trainer, check_model, check_models
from tune_diffreg.errors import InputError
from tune_diffreg.study import Model, TrialConfig

SOURCE = '''
import os, signal
import torch
from torch import nn
from tune_diffreg.diffusion import Branch

class Net(nn.Module):
    """One residual branch; statistics of a batch normalisation."""

    def __init__(self, channels, width):
        super().__init__()
        self.time = nn.Linear(1, channels)
        self.branch = nn.Sequential(
            nn.BatchNorm2d(channels), nn.Conv2d(channels, width, 3, padding=1), nn.SiLU(),
            nn.Conv2d(width, channels, 3, padding=1),
        )

    def forward(self, images, timesteps):
        level = self.time(timesteps[:, None] / 1000)
        return images + self.branch(images + level[:, :, None, None])

    def residual_branches(self):
        return [Branch(self.branch[3], dropout=self.branch[2])]

    def noise_embeddings(self):
        return [self.time]

class Bare(nn.Module):
    def forward(self, images, timesteps):
        return images

class Smaller(Net):
    def forward(self, images, timesteps):
        return super().forward(images, timesteps)[:, :, 1:]

class Nowhere(Net):
    def residual_branches(self):
        return []

def good(in_channels, sample_size, width=8):
    return Net(in_channels, width)

class Shared(Net):
    def residual_branches(self):
        once = super().residual_branches()
        return [*once, Branch(self.branch[1], dropout=self.branch[2])]

class Unused(Net):
    def residual_branches(self):
        self.nothing = nn.Identity()
        return [Branch(self.nothing)]

class Whole(Net):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.count = nn.Parameter(torch.zeros(2, dtype=torch.int64), requires_grad=False)

class Fourier(Net):
    """Frequencies that its seed draws and that no state dict holds; two names of one weight."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.frequencies = torch.randn(1)
        self.again = self.time

    def forward(self, images, timesteps):
        return super().forward(images, timesteps) * self.frequencies

class Greedy(Net):
    def forward(self, images, timesteps):
        return super().forward(images, timesteps) + torch.zeros(2**32).sum()

class Dying(Net):
    def forward(self, images, timesteps):
        os.kill(os.getpid(), signal.SIGKILL)

class Counting(Net):
    """What it does depends on how often it was called, which no state dict holds."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, images, timesteps):
        if self.training:
            self.calls += 1
        return super().forward(images, timesteps) * (1 + self.calls)

KEPT = Net(1, 8)
def shared(in_channels, sample_size): return Shared(in_channels, 8)
def unused(in_channels, sample_size): return Unused(in_channels, 8)
def whole(in_channels, sample_size): return Whole(in_channels, 8)
def same(in_channels, sample_size): return KEPT
def counting(in_channels, sample_size): return Counting(in_channels, 8)
def fourier(in_channels, sample_size): return Fourier(in_channels, 8)
def greedy(in_channels, sample_size): return Greedy(in_channels, 8)
def dying(in_channels, sample_size): return Dying(in_channels, 8)
def bare(in_channels, sample_size): return Bare()
def smaller(in_channels, sample_size): return Smaller(in_channels, 8)
def nowhere(in_channels, sample_size): return Nowhere(in_channels, 8)
def nothing(in_channels, sample_size): return 7
def failing(in_channels, sample_size): raise KeyError("weights")
def unhappy(in_channels, sample_size): return nn.Linear(1, 1)
'''


@pytest.fixture(autouse=True)
def own_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `own_models` that can be imported."""
    (tmp_path / "own_models.py").write_text(SOURCE)
    (tmp_path / "broken_models.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("own_models", None)


def own(factory: str, **arguments: object) -> TrialConfig:
    model = Model(in_channels=1, sample_size=8, factory=factory, arguments=arguments)
    return tiny_study().model_copy(update={"model": model})


def test_a_model_of_ones_own_trains_with_every_knob() -> None:
    study = tiny_study(
        "model={in_channels: 1, sample_size: 8, factory: 'own_models:good', arguments: {width: 4}}",
        "regularization={residual_dropout: 0.2, stochastic_depth: 0.1}",
        "augmentation={translate: 0.2, conditional: true}",
    )
    check_model(study)
    splits = load_splits(study.data, study.model)
    trainer = Trainer(study, splits.train, torch.device("cpu"))
    trainer.choose_average(splits.validation)
    before = trainer.loss_of_average(splits.validation).mean()
    for _ in range(60):
        trainer.step()
    trainer.choose_average(splits.validation)
    assert trainer.loss_of_average(splits.validation).mean() < before
    assert isinstance(trainer.network.averaged.branch[1], nn.Conv2d)
    assert trainer.network.averaged.branch[1].out_channels == 4
    # Statistics are not averaged, but those of the training.
    assert torch.equal(
        trainer.network.averaged.branch[0].running_mean,
        trainer.network.model.branch[0].running_mean,
    )


def test_what_no_state_dict_holds_is_not_left_to_the_next_trial() -> None:
    study = own("own_models:fourier")
    check_model(study)
    images = load_splits(study.data, study.model).train
    cpu = torch.device("cpu")
    used = Trainer(study, images, cpu)
    other = study.model_copy(update={"training": study.training.model_copy(update={"seed": 5})})
    again, fresh = Trainer(other, images, cpu, used.network), Trainer(other, images, cpu)
    for subject in (again, fresh):
        subject.step()
        subject.step()
    assert again.statistics() == fresh.statistics()
    assert Trainer(study, images, cpu, used.network).network is used.network


def test_what_no_state_dict_holds_is_in_a_checkpoint_and_in_the_averaged_model() -> None:
    study = own("own_models:counting")
    check_model(study)
    splits = load_splits(study.data, study.model)

    def trained(steps: int, state: dict[str, Any] | None = None) -> Trainer:
        subject = Trainer(study, splits.train, torch.device("cpu"))
        if state is not None:
            subject.load_state_dict(state)
        for _ in range(steps):
            subject.step()
        return subject

    straight = trained(5)
    resumed = trained(3, trained(2).state_dict())
    for subject in (straight, resumed):
        subject.choose_average(splits.validation)
        assert subject.network.averaged.calls == 5
    assert straight.statistics() == resumed.statistics()


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("no_such_models:good", "no_such_models cannot be imported .*must be installed, or lie in"),
        ("broken_models:good", "importing broken_models failed: ZeroDivisionError"),
        ("own_models:gone", "own_models has no 'gone'"),
        ("own_models:failing", "KeyError: 'weights'"),
        ("own_models:nothing", "returned int, not a torch.nn.Module"),
        ("own_models:unhappy", r"cannot be called with images \(2, 1, 8, 8\) and timesteps \(2,\)"),
        ("own_models:smaller", r"the model returns \(2, 1, 7, 8\)"),
        ("own_models:bare", "Bare does not say where its residual branches end"),
        ("own_models:shared", "SiLU 2 times as dropout, and it is called 1 times a prediction"),
        ("own_models:unused", "Identity 1 times as last, and it is called 0 times a prediction"),
        ("own_models:same", "returned one module twice"),
        ("own_models:whole", "a step of training fails: .*not implemented for 'Long'"),
        ("own_models:nowhere", r"residual_branches\(\) of Nowhere must return at least one Branch"),
    ],
)
def test_what_does_not_fit_is_one_sentence(factory: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_model(own(factory))


def test_an_argument_that_the_factory_does_not_take_is_named() -> None:
    with pytest.raises(InputError, match=r"own_models:good: TypeError: .*'depth'"):
        check_model(own("own_models:good", depth=3))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("own_models:greedy", r"own_models:greedy.* \(needed more than resources\.memory 2 GiB\)$"),
        ("own_models:dying", "own_models:dying.*: its process ended with status -9 while it was"),
    ],
)
def test_what_a_model_does_to_its_process_is_one_sentence_too(factory: str, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        check_models([own("own_models:good", width=4), own(factory)], memory=2)


def test_the_models_of_diffusers_are_no_reason_to_start_a_process() -> None:
    with mock.patch("multiprocessing.get_context", side_effect=AssertionError):
        check_models([tiny_study()])


def test_keys_of_the_unet_do_not_go_with_a_factory() -> None:
    with pytest.raises(InputError, match="layers_per_block is the U-Net's"):
        tiny_study("model={in_channels: 1, sample_size: 8, factory: 'a:b', layers_per_block: 3}")
    with pytest.raises(InputError, match="arguments are those of a factory"):
        tiny_study("model.arguments={width: 3}")
