"""Weight decay, clipping and warm-up."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from tests.diffusion.test_trainer import steps, trainer
from tune_diffreg.diffusion.optimizer import build_optimizer, warmed_up
from tune_diffreg.study import Optimizer


def test_decay_shrinks_kernels_and_matrices_and_spares_norms_and_biases() -> None:
    model = trainer().network.model
    before = copy.deepcopy(model.state_dict())
    optimizer = build_optimizer([model], Optimizer(learning_rate=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.GroupNorm)}
    for name, value in model.state_dict().items():
        spared = name.endswith(".bias") or name.rsplit(".", 1)[0] in norms
        torch.testing.assert_close(value, before[name] * (1 if spared else 0.95))


def test_decay_spares_embedding_tables() -> None:
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 2))
    groups = build_optimizer([model], Optimizer(weight_decay=0.5)).param_groups
    assert {p.shape for p in groups[0]["params"]} == {(2, 3)}
    assert {p.shape for p in groups[1]["params"]} == {(4, 3), (2,)}


@pytest.mark.parametrize("norm", ["0.01", "null"])
def test_clipping_bounds_the_norm_of_the_gradient(
    norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = trainer(f"optimizer.clip_norm={norm}")
    norms = []

    def look(*_: object) -> None:
        norms.append(
            torch.cat([p.grad.flatten() for p in subject.network.model.parameters()]).norm()
        )

    monkeypatch.setattr(subject.optimizer, "step", look)
    steps(subject, 3)
    if norm == "null":
        assert min(norms) > 0.02
    else:
        assert max(norms) <= 0.01 * (1 + 1e-5)


def test_the_learning_rate_rises_to_its_peak_and_stays() -> None:
    settings = Optimizer(learning_rate=1e-3, warmup=100)
    rates = [warmed_up(settings, images) for images in (25, 50, 100, 500)]
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 1e-3, 1e-3])
    subject = steps(trainer("optimizer.warmup=64"), 1)
    assert subject.optimizer.param_groups[0]["lr"] == pytest.approx(1e-3)
