"""The training loop: decay, clipping, warm-up, averaging, exact continuation, divergence."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from tests.conftest import tiny_study
from tune_diffreg.data import load_splits
from tune_diffreg.diffusion import Diverged, Trainer, denoising_loss, latents, sample
from tune_diffreg.diffusion.optimizer import build_optimizer, warmed_up
from tune_diffreg.study import Optimizer

CPU = torch.device("cpu")
ALL_KNOBS = (
    "regularization={residual_dropout: 0.2, attention_dropout: 0.1, stochastic_depth: 0.1}",
    "augmentation={horizontal_flip: 0.5, translate: 0.125, crop: 0.2, color_jitter: 0.1}",
    "optimizer={learning_rate: 2e-3, weight_decay: 0.1, clip_norm: 0.5, warmup: 200}",
    "diffusion={prediction_type: v_prediction, schedule: {name: hybrid, blend: 0.4}}",
)


def trainer(*overrides: str) -> Trainer:
    study = tiny_study(*overrides)
    return Trainer(study, load_splits(study.data, study.model).train, CPU)


def steps(subject: Trainer, count: int) -> Trainer:
    for _ in range(count):
        subject.step()
    return subject


def test_decay_shrinks_kernels_and_matrices_and_spares_norms_and_biases() -> None:
    model = trainer().model
    before = copy.deepcopy(model.state_dict())
    optimizer = build_optimizer(model, Optimizer(learning_rate=0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.GroupNorm)}
    for name, value in model.state_dict().items():
        spared = name.endswith(".bias") or name.rsplit(".", 1)[0] in norms
        torch.testing.assert_close(value, before[name] * (1 if spared else 0.95))


def test_decay_spares_embedding_tables() -> None:
    model = nn.Sequential(nn.Embedding(4, 3), nn.Linear(3, 2))
    groups = build_optimizer(model, Optimizer(weight_decay=0.5)).param_groups
    assert {p.shape for p in groups[0]["params"]} == {(2, 3)}
    assert {p.shape for p in groups[1]["params"]} == {(4, 3), (2,)}


@pytest.mark.parametrize("norm", ["0.01", "null"])
def test_clipping_bounds_the_norm_of_the_gradient(
    norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = trainer(f"optimizer.clip_norm={norm}")
    norms = []

    def look(*_: object) -> None:
        norms.append(torch.cat([p.grad.flatten() for p in subject.model.parameters()]).norm())

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


def test_the_average_follows_the_weights() -> None:
    subject = trainer("training.ema=0.9")
    expected = [p.detach().clone() for p in subject.model.parameters()]
    for step in range(1, 4):
        subject.step()
        decay = min(0.9, (1 + step) / (10 + step))
        for average, weight in zip(expected, subject.model.parameters(), strict=True):
            average.mul_(decay).add_(weight.detach(), alpha=1 - decay)
    assert not any(p.requires_grad for p in subject.ema_model.parameters())
    for average, ours in zip(expected, subject.ema_model.parameters(), strict=True):
        torch.testing.assert_close(ours, average)


def test_every_image_is_seen_once_a_round() -> None:
    subject = trainer("data.train=60", "training.batch_size=24")
    seen = []
    for subject.steps in range(5):
        seen += subject._batch_indices().tolist()
    assert sorted(seen[:60]) == list(range(60))
    assert sorted(seen[60:120]) == list(range(60))
    assert seen[:60] != seen[60:120]


def test_a_batch_may_be_larger_than_the_data_set() -> None:
    subject = trainer("data.train=5", "training.batch_size=16")
    assert sorted(subject._batch_indices().tolist()[:5]) == list(range(5))
    subject.step()


def test_a_continued_training_equals_an_uninterrupted_one_to_the_bit() -> None:
    straight = steps(trainer(*ALL_KNOBS), 12)
    first = steps(trainer(*ALL_KNOBS), 7)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    torch.manual_seed(99)  # another process has another global state
    second = trainer(*ALL_KNOBS)
    second.load_state_dict(torch.load(file, weights_only=True))
    steps(second, 5)
    for ours, theirs in ((straight.model, second.model), (straight.ema_model, second.ema_model)):
        a, b = ours.state_dict(), theirs.state_dict()
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_training_leaves_the_global_random_state_alone() -> None:
    subject = trainer(*ALL_KNOBS)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    steps(subject, 2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_seed_is_another_training() -> None:
    one, two = steps(trainer(), 3), steps(trainer("training.seed=1"), 3)
    weights = [next(t.model.parameters()) for t in (one, two)]
    assert not torch.equal(*weights)


def test_a_loss_that_is_not_finite_is_noticed() -> None:
    subject = trainer()
    with torch.no_grad():
        next(subject.model.parameters()).fill_(float("nan"))
    subject.step()
    with pytest.raises(Diverged, match="training loss became nan by 32 images seen"):
        subject.check_finite()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_training_lowers_the_loss_on_held_out_images(prediction: str) -> None:
    study = tiny_study(f"diffusion.prediction_type={prediction}")
    splits = load_splits(study.data, study.model)
    subject = Trainer(study, splits.train, CPU)
    before = denoising_loss(subject.ema_model, subject.scheduler, splits.validation)
    steps(subject, 60)
    after = denoising_loss(subject.ema_model, subject.scheduler, splits.validation)
    assert after < 0.6 * before
    again = denoising_loss(subject.ema_model, subject.scheduler, splits.validation)
    assert again == after


def test_a_latent_depends_on_its_index_alone() -> None:
    all_at_once = latents(7, 10, (1, 8, 8))
    assert torch.equal(latents(12, 5, (1, 8, 8)), all_at_once[5:])
    assert len(torch.unique(all_at_once.flatten(1), dim=0)) == 10


def test_samples_do_not_depend_on_the_batch_size() -> None:
    subject = steps(trainer(), 20)
    noise = latents(0, 12, (1, 8, 8))
    whole = sample(subject.ema_model, subject.scheduler, noise, steps=5)
    parts = sample(subject.ema_model, subject.scheduler, noise, steps=5, batch_size=5)
    assert whole.shape == (12, 1, 8, 8)
    assert whole.dtype == torch.uint8
    # Other kernels for other sizes may round one pixel differently.
    assert (whole.int() - parts.int()).abs().max() <= 1
