"""Each knob changes what it should and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import UNet2DModel
from diffusers.models.resnet import ResnetBlock2D
from torch._dynamo.testing import CompileCounter

from tests.conftest import tiny_study
from tune_diffreg.diffusion.branches import residual_branches
from tune_diffreg.diffusion.model import build_model, predict
from tune_diffreg.diffusion.network import Network
from tune_diffreg.diffusion.regularization import Drop, Regularizer
from tune_diffreg.diffusion.trainer import Trainer
from tune_diffreg.study import Regularization

STUDY = tiny_study()
IMAGES = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TIMES = torch.tensor([0, 1, 50, 300, 700, 999])


KNOBS = [
    "residual_dropout", "attention_dropout", "attention_weight_dropout", "stochastic_depth",
]  # fmt: skip
EVERY_KNOB = pytest.mark.parametrize("knob", KNOBS)


def unet(**knobs: float) -> UNet2DModel:
    model = build_model(STUDY.model, seed=3)
    if knobs:
        Regularizer(model).set(Regularization(**knobs))
    return model.train()


def output(model: torch.nn.Module, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    with torch.no_grad():
        result: torch.Tensor = model(IMAGES, TIMES).sample
    return result


def test_the_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = build_model(STUDY.model, seed=3).state_dict()
    torch.manual_seed(2)
    two = build_model(STUDY.model, seed=3).state_dict()
    other = build_model(STUDY.model, seed=4).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_with_all_knobs_at_zero_the_model_is_the_plain_one_to_the_bit() -> None:
    assert torch.equal(output(unet(**dict.fromkeys(KNOBS, 0.0))), output(unet()))


@EVERY_KNOB
def test_a_knob_acts_in_training_and_not_in_evaluation(knob: str) -> None:
    model = unet(**{knob: 0.3})
    assert not torch.equal(output(model, seed=0), output(model, seed=1))
    assert torch.equal(output(model.eval()), output(unet().eval()))


@EVERY_KNOB
def test_a_knob_leaves_the_state_dict_alone(knob: str) -> None:
    plain, regularised = unet().state_dict(), unet(**{knob: 0.3}).state_dict()
    assert list(plain) == list(regularised)
    assert all(torch.equal(plain[key], regularised[key]) for key in plain)


def test_residual_dropout_reaches_residual_blocks_alone_and_attention_dropout_attention() -> None:
    def dropouts(model: UNet2DModel) -> dict[str, float]:
        named = {n: float(b) for n, b in model.named_buffers() if n.endswith("dropout_probability")}
        return {n: p for n, p in named.items() if p}

    residual = dropouts(unet(residual_dropout=0.3))
    assert len(residual) == 8
    assert all(n.endswith("dropout.dropout_probability") for n in residual)
    outputs = dropouts(unet(attention_dropout=0.2))
    assert len(outputs) == 4
    assert all(n.endswith("to_out.1.dropout_probability") for n in outputs)
    weights = dropouts(unet(attention_weight_dropout=0.2))
    assert len(weights) == 4
    assert all(".attentions." in n and ".weight_" in n for n in weights)


def test_dropping_has_its_probability_and_keeps_the_mean() -> None:
    drop = Drop(torch.nn.Identity(), "some")
    drop.set(0.3)
    torch.manual_seed(0)
    dropped = drop(torch.ones(100_000), (100_000,))
    assert (dropped == 0).double().mean() == pytest.approx(0.3, abs=0.005)
    assert dropped.unique().tolist() == pytest.approx([0.0, 1 / 0.7])


def test_stochastic_depth_can_grow_with_depth() -> None:
    model = unet(stochastic_depth=0.24, depth_profile="linear")
    depths = [
        float(branch.last.stochastic_depth_probability) for branch in residual_branches(model)
    ]
    assert depths == pytest.approx([0.02 * number for number in range(1, 13)])


def test_dropping_no_weights_attends_as_diffusers_does() -> None:
    # So small that nothing is dropped, but by the same path.
    ours, plain = unet(attention_weight_dropout=1e-9), unet()
    torch.testing.assert_close(output(ours), output(plain), rtol=1e-5, atol=1e-6)
    assert (
        ours.down_blocks[1].attentions[0].processor
        is not plain.down_blocks[1].attentions[0].processor
    )


def test_probabilities_change_in_flight() -> None:
    model = build_model(STUDY.model, seed=3).train()
    knobs = Regularizer(model)
    plain = output(model)
    for knob in KNOBS:
        knobs.set(Regularization(**{knob: 0.4}))
        assert not torch.equal(output(model), plain)
    knobs.set(Regularization())
    assert torch.equal(output(model), plain)


@pytest.mark.slow
def test_one_graph_serves_all_probabilities_and_fresh_weights() -> None:
    counter = CompileCounter()
    network = Network(tiny_study("regularization.residual_dropout=0.1"), torch.device("cpu"))
    network._call = torch.compile(predict, backend=counter, dynamic=False)
    for number, p in enumerate((0.1, 0.0, 0.3, 0.45)):
        knobs = (
            f"regularization={{residual_dropout: {p}, attention_dropout: {p / 2}, "
            f"stochastic_depth: {p / 3}, depth_profile: {'linear' if p > 0.2 else 'constant'}}}"
        )
        network.reset(tiny_study(knobs, f"training.seed={number}"))
        network.predict(IMAGES, TIMES).mean().backward()
    assert counter.frame_count == 1
    # Dropout of attention weights takes another kind of attention: one more graph, for all p.
    for p in (0.1, 0.2):
        network.reset(tiny_study(f"regularization.attention_weight_dropout={p}"))
        network.predict(IMAGES, TIMES)
    assert counter.frame_count == 2


@pytest.mark.slow
def test_a_training_that_is_compiled_is_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of `training.compile` but the compiler itself, which would take most of a minute."""
    compile_, asked = torch.compile, list[dict[str, object]]()

    def compiled(function: Callable[..., torch.Tensor], **options: Any) -> Any:
        asked.append(options)
        return compile_(function, backend="aot_eager", dynamic=options["dynamic"])

    monkeypatch.setattr(torch, "compile", compiled)
    images = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)
    losses = []
    for wanted in ("true", "false"):
        study = tiny_study(
            f"training.compile={wanted}",  # a graph draws for every knob, so every one is on
            "regularization={residual_dropout: 0.2, attention_dropout: 0.1, stochastic_depth: 0.1}",
        )
        trainer = Trainer(study, images, torch.device("cpu"))
        for _ in range(3):
            trainer.step()
        losses.append((trainer.statistics(), trainer.choose_average(images)[1]))
    assert asked == [{"mode": "default", "dynamic": False}]
    torch.testing.assert_close(*losses, rtol=1e-4, atol=1e-6)


def test_at_depth_one_a_block_is_its_shortcut() -> None:
    model = unet(stochastic_depth=1.0)
    blocks = [m for m in model.modules() if isinstance(m, ResnetBlock2D)]
    assert len(blocks) >= 6
    for block in blocks:
        hidden = torch.randn(4, block.in_channels, 8, 8)
        embedding = torch.randn(4, block.time_emb_proj.in_features)
        shortcut = block.conv_shortcut(hidden) if block.conv_shortcut is not None else hidden
        expected = shortcut / block.output_scale_factor
        assert torch.equal(block(hidden, embedding), expected)
    for name, module in model.named_modules():
        if name.endswith("attentions.0"):
            hidden = torch.randn(4, module.to_q.in_features, 4, 4)
            assert torch.equal(module(hidden), hidden / module.rescale_output_factor)


def test_depth_drops_whole_images_and_keeps_the_mean() -> None:
    model = unet(stochastic_depth=0.5)
    last = next(m for m in model.modules() if isinstance(m, ResnetBlock2D)).conv2
    torch.manual_seed(0)
    branch = torch.randn(1, last.in_channels, 8, 8).expand(4000, -1, -1, -1)
    with torch.no_grad():
        dropped = last(branch)
        kept = last.eval()(branch[:1])
    alive = dropped.abs().sum((1, 2, 3)) > 0
    assert alive.double().mean() == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(dropped[alive][0], 2 * kept[0])
