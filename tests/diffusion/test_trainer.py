"""The training loop: decay, clipping, warm-up, averaging, exact continuation, divergence."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from tests.conftest import tiny_study
from tune_diffreg.data import load_splits
from tune_diffreg.diffusion import Diverged, Trainer, latents, sample
from tune_diffreg.diffusion.batches import Resident, Streamed, Walk
from tune_diffreg.diffusion.loss import loss_weights
from tune_diffreg.study import Diffusion

CPU = torch.device("cpu")
ALL_KNOBS = (
    "regularization={residual_dropout: 0.2, attention_dropout: 0.1, attention_weight_dropout: 0.1,"
    " stochastic_depth: 0.1, depth_profile: linear}",
    "augmentation={horizontal_flip: 0.5, translate: 0.125, crop: 0.2, rotate: 10,"
    " color_jitter: 0.1, probability: 0.8, conditional: true}",
    "optimizer={learning_rate: 2e-3, weight_decay: 0.1, clip_norm: 0.5, warmup: 200}",
    "diffusion={prediction_type: v_prediction, loss_weighting: min_snr,"
    " schedule: {name: hybrid, blend: 0.4, shift: -0.5}}",
    "training.ema=[0.9, 0.99]",
)


# The same in colour and in bfloat16, so that every knob there is has a part.
IN_COLOR = (
    *ALL_KNOBS[:1],
    "augmentation={horizontal_flip: 0.5, translate: 0.125, crop: 0.2, rotate: 10,"
    " brightness: 0.1, contrast: 0.1, saturation: 0.2, hue: 0.05, probability: 0.8,"
    " conditional: true}",
    *ALL_KNOBS[2:],
    "training.precision=bf16",
    "data.source=cifar10",
    "data.path=nowhere",
    "model.in_channels=3",
    "evaluation.features=pixels",
    "objective.metric=fd_pixels",
    "search.space={optimizer.learning_rate: {low: 1e-3, high: 1e-2}}",
    "search.baselines={}",
)


def trainer(*overrides: str) -> Trainer:
    study = tiny_study(*overrides)
    if study.model.in_channels == 3:
        draw = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (32, 3, 8, 8), generator=draw, dtype=torch.uint8)
    else:
        images = load_splits(study.data, study.model).train
    return Trainer(study, images, CPU)


def steps(subject: Trainer, count: int) -> Trainer:
    for _ in range(count):
        subject.step()
    return subject


def assert_equal_to_the_bit(one: Trainer, two: Trainer) -> None:
    states = [torch.utils._pytree.tree_leaves(t.state_dict()) for t in (one, two)]
    assert len(states[0]) == len(states[1]) > 100
    for ours, theirs in zip(*states, strict=True):
        if isinstance(ours, torch.Tensor):
            assert torch.equal(ours, theirs)
        else:
            assert ours == theirs


def test_the_average_follows_the_weights() -> None:
    subject = trainer("training.ema=0.9")
    expected = [p.detach().clone() for p in subject.network.model.parameters()]
    for step in range(1, 4):
        subject.step()
        decay = min(0.9, (1 + step) / (10 + step))
        for average, weight in zip(expected, subject.network.model.parameters(), strict=True):
            average.mul_(decay).add_(weight.detach(), alpha=1 - decay)
    averaged = subject.network.averaged
    assert not any(p.requires_grad for p in averaged.parameters())
    subject.averages.copy_to(averaged, 0)
    for average, ours in zip(expected, averaged.parameters(), strict=True):
        torch.testing.assert_close(ours, average)


def test_every_image_is_seen_once_a_round() -> None:
    subject = trainer("data.train=60", "training.batch_size=24")
    seen = []
    for subject.steps in range(5):
        seen += subject.walk.indices(subject.steps).tolist()
    assert sorted(seen[:60]) == list(range(60))
    assert sorted(seen[60:120]) == list(range(60))
    assert seen[:60] != seen[60:120]


def test_a_batch_may_be_larger_than_the_data_set() -> None:
    subject = trainer("data.train=5", "training.batch_size=16")
    assert sorted(subject.walk.indices(subject.steps).tolist()[:5]) == list(range(5))
    subject.step()


@pytest.mark.parametrize("knobs", [ALL_KNOBS, IN_COLOR], ids=["gray", "in colour"])
def test_a_continued_training_equals_an_uninterrupted_one_to_the_bit(
    knobs: tuple[str, ...],
) -> None:
    straight = steps(trainer(*knobs), 12)
    first = steps(trainer(*knobs), 7)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    torch.manual_seed(99)  # another process has another global state
    second = trainer(*knobs)
    second.load_state_dict(torch.load(file, weights_only=True))
    steps(second, 5)
    assert_equal_to_the_bit(straight, second)


def test_a_training_leaves_the_global_random_state_alone() -> None:
    subject = trainer(*ALL_KNOBS)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    steps(subject, 2)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_seed_is_another_training() -> None:
    one, two = steps(trainer(), 3), steps(trainer("training.seed=1"), 3)
    weights = [next(t.network.model.parameters()) for t in (one, two)]
    assert not torch.equal(*weights)


def test_a_loss_that_is_not_finite_is_noticed() -> None:
    subject = trainer()
    with torch.no_grad():
        next(subject.network.model.parameters()).fill_(float("nan"))
    subject.step()
    with pytest.raises(Diverged, match="training loss became nan by 32 images seen"):
        subject.check_finite()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_training_lowers_the_loss_on_held_out_images(prediction: str) -> None:
    study = tiny_study(f"diffusion.prediction_type={prediction}")
    splits = load_splits(study.data, study.model)
    subject = Trainer(study, splits.train, CPU)
    _, before = subject.choose_average(splits.validation)
    steps(subject, 60)
    _, after = subject.choose_average(splits.validation)
    assert after.mean() < 0.6 * before.mean()
    assert torch.equal(subject.loss_of_average(splits.validation), after)


def test_a_latent_depends_on_its_index_alone() -> None:
    all_at_once = latents(7, 10, (1, 8, 8))
    assert torch.equal(latents(12, 5, (1, 8, 8)), all_at_once[5:])
    assert len(torch.unique(all_at_once.flatten(1), dim=0)) == 10


def test_samples_do_not_depend_on_the_batch_size() -> None:
    subject = steps(trainer(), 20)
    noise = latents(0, 12, (1, 8, 8))
    predict, scheduler = subject.network.predict_averaged, subject.scheduler
    whole = sample(predict, scheduler, noise, steps=5)
    parts = sample(predict, scheduler, noise, steps=5, batch_size=5)
    assert whole.shape == (12, 1, 8, 8)
    assert whole.dtype == torch.uint8
    # Other kernels for other sizes may round one pixel differently.
    assert (whole.int() - parts.int()).abs().max() <= 1


def test_a_network_taken_over_trains_to_the_same_bits() -> None:
    used = steps(trainer(*ALL_KNOBS, "training.seed=7", "training.ema=0.5"), 3)
    study = tiny_study(*ALL_KNOBS)
    images = load_splits(study.data, study.model).train
    second = Trainer(study, images, CPU, used.network)
    assert second.network is used.network
    assert_equal_to_the_bit(steps(second, 5), steps(trainer(*ALL_KNOBS), 5))
    other = tiny_study(*ALL_KNOBS, "model.layers_per_block=2")
    assert Trainer(other, images, CPU, used.network).network is not used.network


def test_a_network_of_a_trial_that_broke_off_in_a_step_trains_to_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = steps(trainer(*ALL_KNOBS), 2)
    with monkeypatch.context() as broken:
        broken.setattr(used.optimizer, "step", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            used.step()
    study = tiny_study(*ALL_KNOBS)
    images = load_splits(study.data, study.model).train
    second = Trainer(study, images, CPU, used.network)
    assert_equal_to_the_bit(steps(second, 3), steps(trainer(*ALL_KNOBS), 3))


def test_without_augmentation_a_network_taken_over_is_told_of_none() -> None:
    study = tiny_study("augmentation={conditional: true, translate: 0.25}")
    images = load_splits(study.data, study.model).train
    used = steps(Trainer(study, images, CPU), 3)
    plain = tiny_study("augmentation={conditional: true}")
    second = Trainer(plain, images, CPU, used.network)
    assert_equal_to_the_bit(steps(second, 3), steps(Trainer(plain, images, CPU), 3))


def test_every_length_of_average_is_tracked_and_the_best_is_chosen() -> None:
    decays = [0.3, 0.6, 0.999]
    study = tiny_study(f"training.ema={decays}")
    validation = load_splits(study.data, study.model).validation
    subject = steps(trainer(f"training.ema={decays}"), 40)
    alone = {}
    for decay in decays:
        single = steps(trainer(f"training.ema={decay}"), 40)
        chosen, loss = single.choose_average(validation)
        assert chosen == decay
        alone[decay] = loss.mean().item()
    chosen, loss = subject.choose_average(validation)
    assert loss.mean().item() == min(alone.values())
    assert chosen == min(alone, key=alone.__getitem__)
    assert len(set(alone.values())) == 3
    assert torch.equal(subject.loss_of_average(validation), loss)


def test_statistics_are_of_all_steps_so_that_no_report_or_pause_shows() -> None:
    subject = trainer("optimizer.clip_norm=1e-3")
    assert steps(subject, 4).statistics()["clipped_fraction"] == 1.0
    free = trainer("optimizer.clip_norm=null")
    statistics = steps(free, 4).statistics()
    assert statistics["clipped_fraction"] == 0.0
    assert 0.01 < statistics["gradient_norm"] < 100
    assert free.statistics() == statistics
    assert steps(free, 1).statistics() == steps(trainer("optimizer.clip_norm=null"), 5).statistics()


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_min_snr_weighs_the_error_of_the_clean_image(prediction: str) -> None:
    settings = {"loss_weighting": "min_snr", "min_snr_gamma": 5.0, "prediction_type": prediction}
    alphas = torch.tensor([0.999, 0.9, 0.5, 0.01], dtype=torch.float64)
    weights = loss_weights(Diffusion(**settings), alphas)
    assert loss_weights(Diffusion(prediction_type=prediction), alphas) is None
    assert weights is not None
    for alpha, weight in zip(alphas.tolist(), weights.tolist(), strict=True):
        x, noise, error = 0.7, -1.3, 0.01  # one pixel, and an error of its prediction
        noisy = alpha**0.5 * x + (1 - alpha) ** 0.5 * noise
        if prediction == "epsilon":
            guess = (noisy - (1 - alpha) ** 0.5 * (noise + error)) / alpha**0.5
        else:
            v = alpha**0.5 * noise - (1 - alpha) ** 0.5 * x
            guess = alpha**0.5 * noisy - (1 - alpha) ** 0.5 * (v + error)
        snr = alpha / (1 - alpha)
        assert weight * error**2 == pytest.approx(min(snr, 5.0) * (guess - x) ** 2)


def test_the_loss_is_reported_by_noise_band() -> None:
    study = tiny_study()
    splits = load_splits(study.data, study.model)
    subject = steps(trainer(), 60)
    _, bands = subject.choose_average(splits.validation)
    assert bands.shape == (4,)
    # The more noise there is, the easier it is to tell.
    assert (bands.diff() < 0).all()


def test_images_that_are_streamed_are_those_that_are_held() -> None:
    images = torch.randint(0, 256, (50, 1, 8, 8), dtype=torch.uint8)
    held = Resident(images, Walk(50, 16, 3), CPU)
    streamed = Streamed(images, Walk(50, 16, 3), CPU)
    for step in (*range(20), 7, 8, 40, 41):  # straight on, and after going on elsewhere
        assert torch.equal(held(step), streamed(step))


class NoWaiting(TorchDispatchMode):
    """Refuses what would make the host wait for a device."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        assert func not in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.nonzero.default,
            torch.ops.aten.equal.default,
            torch.ops.aten.masked_select.default,
        ), f"{func} waits for the device"
        return func(*args, **(kwargs or {}))


def test_no_step_waits_for_the_device() -> None:
    subject = steps(trainer(*ALL_KNOBS), 2)
    with NoWaiting():
        subject.step()
    with NoWaiting(), pytest.raises(AssertionError, match="waits for the device"):
        subject.statistics()


def test_bf16_is_of_the_network_alone() -> None:
    study = tiny_study("training.precision=bf16")
    subject = steps(trainer("training.precision=bf16"), 30)
    assert {p.dtype for p in subject.network.model.parameters()} == {torch.float32}
    splits = load_splits(study.data, study.model)
    _, bf16 = subject.choose_average(splits.validation)
    _, fp32 = steps(trainer(), 30).choose_average(splits.validation)
    assert not torch.equal(bf16, fp32)
    torch.testing.assert_close(bf16, fp32, rtol=0.05, atol=0.01)
