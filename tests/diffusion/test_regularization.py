"""Each knob changes what it should and nothing else."""

from __future__ import annotations

import pytest
import torch
from diffusers import UNet2DModel
from diffusers.models.resnet import ResnetBlock2D

from tests.conftest import tiny_study
from tune_diffreg.diffusion.model import build_unet
from tune_diffreg.diffusion.regularization import regularize
from tune_diffreg.study import Regularization

STUDY = tiny_study()
IMAGES = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))
TIMES = torch.tensor([0, 1, 50, 300, 700, 999])


def unet(**knobs: float) -> UNet2DModel:
    model = build_unet(STUDY.model, seed=3)
    if knobs:
        regularize(model, Regularization(**knobs))
    return model.train()


def output(model: torch.nn.Module, seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    with torch.no_grad():
        result: torch.Tensor = model(IMAGES, TIMES).sample
    return result


def test_the_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    one = build_unet(STUDY.model, seed=3).state_dict()
    torch.manual_seed(2)
    two = build_unet(STUDY.model, seed=3).state_dict()
    other = build_unet(STUDY.model, seed=4).state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_with_all_knobs_at_zero_the_model_is_the_plain_one_to_the_bit() -> None:
    off = {"residual_dropout": 0.0, "attention_dropout": 0.0, "stochastic_depth": 0.0}
    assert torch.equal(output(unet(**off)), output(unet()))


@pytest.mark.parametrize("knob", ["residual_dropout", "attention_dropout", "stochastic_depth"])
def test_a_knob_acts_in_training_and_not_in_evaluation(knob: str) -> None:
    model = unet(**{knob: 0.3})
    assert not torch.equal(output(model, seed=0), output(model, seed=1))
    assert torch.equal(output(model.eval()), output(unet().eval()))


@pytest.mark.parametrize("knob", ["residual_dropout", "attention_dropout", "stochastic_depth"])
def test_a_knob_leaves_the_state_dict_alone(knob: str) -> None:
    plain, regularised = unet().state_dict(), unet(**{knob: 0.3}).state_dict()
    assert list(plain) == list(regularised)
    assert all(torch.equal(plain[key], regularised[key]) for key in plain)


def test_residual_dropout_reaches_residual_blocks_alone_and_attention_dropout_attention() -> None:
    def dropouts(model: UNet2DModel) -> dict[str, float]:
        return {n: m.p for n, m in model.named_modules() if isinstance(m, torch.nn.Dropout)}

    for name, p in dropouts(unet(residual_dropout=0.3)).items():
        assert p == (0.0 if ".attentions." in name else 0.3), name
    for name, p in dropouts(unet(attention_dropout=0.2)).items():
        assert p == (0.2 if ".attentions." in name else 0.0), name
    assert any(".attentions." in name for name in dropouts(unet()))


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
