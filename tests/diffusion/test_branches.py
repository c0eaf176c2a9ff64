"""Where the branches of a network end: of each block of diffusers, and of a model of one's own."""

from __future__ import annotations

import inspect
import re

import pytest
import torch
from diffusers import DiTTransformer2DModel, UNet2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D, ResnetBlockCondNorm2D
from diffusers.models.unets.unet_2d_blocks import get_down_block, get_up_block

from tests.diffusion.test_regularization import IMAGES, KNOBS, STUDY, TIMES, output, unet
from tune_diffreg.diffusion.branches import Branch, residual_branches
from tune_diffreg.diffusion.model import predict
from tune_diffreg.diffusion.regularization import Regularizer
from tune_diffreg.errors import InputError
from tune_diffreg.study import Regularization


def test_branches_come_in_the_order_of_depth() -> None:
    model = unet()
    seen: list[torch.nn.Module] = []
    branches = residual_branches(model)
    for branch in branches:
        branch.last.register_forward_hook(lambda module, *_: seen.append(module))
    output(model)
    assert seen == [branch.last for branch in branches]
    assert len(seen) == 12


BLOCKS = {
    name: re.findall(rf'{name}_block_type == "(\w+)"', inspect.getsource(made_by))
    for name, made_by in {"down": get_down_block, "up": get_up_block}.items()
}


REFUSED = {
    "KCrossAttnDownBlock2D", "KCrossAttnUpBlock2D", "DownEncoderBlock2D", "AttnDownEncoderBlock2D",
    "UpDecoderBlock2D", "AttnUpDecoderBlock2D",
}  # fmt: skip


@pytest.mark.parametrize("sampling", ["conv", "resnet"])
@pytest.mark.parametrize("block", BLOCKS["down"] + BLOCKS["up"])
def test_every_block_of_a_unet_has_all_its_branches_in_order_or_is_refused(
    block: str, sampling: str
) -> None:
    partner = {"KDownBlock2D": "KUpBlock2D", "KUpBlock2D": "KDownBlock2D"}.get(block)
    down, up = (partner or "DownBlock2D", block) if block in BLOCKS["up"] else (block, partner)
    settings = {
        "sample_size": 8, "block_out_channels": (32, 32), "down_block_types": (down, down),
        "up_block_types": (up or "UpBlock2D",) * 2, "downsample_type": sampling,
        "upsample_type": sampling, "layers_per_block": 2,
    }  # fmt: skip
    if "CrossAttn" in block and not block.startswith("K"):
        with pytest.raises(ValueError, match="cross_attention_dim must be specified"):
            UNet2DModel(**settings)
        return
    model = UNet2DModel(**settings).train()
    if block in REFUSED:
        with pytest.raises(InputError, match=rf"branches of diffusers' {block} end is not known"):
            residual_branches(model)
        return
    branches = residual_branches(model)
    kinds = (ResnetBlock2D, ResnetBlockCondNorm2D, Attention)
    ends = {
        module.to_out[1] if isinstance(module, Attention) else module.conv2
        for module in model.modules()
        if isinstance(module, kinds)
    }
    assert {branch.last for branch in branches} == ends
    seen: list[torch.nn.Module] = []
    for branch in branches:
        branch.last.register_forward_hook(lambda module, *_: seen.append(module))
    model(torch.randn(2, 3, 8, 8), TIMES[:2])
    assert seen == [branch.last for branch in branches]


def test_a_unet_may_have_no_middle_and_may_say_itself_where_its_branches_end() -> None:
    class Said(UNet2DModel):
        def residual_branches(self) -> list[Branch]:
            return [Branch(self.conv_out)]

    settings = {**STUDY.model.unet_arguments, "mid_block_type": None}
    assert len(residual_branches(UNet2DModel(**settings))) == 9
    said = Said(**settings)
    assert [branch.last for branch in residual_branches(said)] == [said.conv_out]


def test_a_diffusion_transformer_has_the_same_knobs() -> None:
    torch.manual_seed(0)
    model = DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=1, num_layers=3, sample_size=8,
        patch_size=2, num_embeds_ada_norm=1,
    ).train()  # fmt: skip
    for block in model.transformer_blocks:  # its branches begin with gates of 0
        torch.nn.init.normal_(block.norm1.linear.weight, std=0.1)
    torch.nn.init.normal_(model.proj_out_2.weight, std=0.1)
    assert len(residual_branches(model)) == 6

    def predicted(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        with torch.no_grad():
            return predict(model, IMAGES, TIMES)

    model.transformer_blocks[0].norm1.emb.class_embedder.dropout_prob = 0
    for block in model.transformer_blocks:
        block.norm1.emb.class_embedder.dropout_prob = 0
    knobs = Regularizer(model)
    assert torch.equal(predicted(0), predicted(1))
    for knob in KNOBS:
        knobs.set(Regularization(**{knob: 0.5}))
        assert not torch.equal(predicted(0), predicted(1)), knob
    model.eval()
    assert torch.equal(predicted(0), predicted(1))


class Sum(torch.nn.Module):
    """A model of one's own: one residual branch."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, images: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        return images + self.branch(images) + 0 * timesteps.view(-1, 1, 1, 1)


class Told(Sum):
    def residual_branches(self) -> list[Branch]:
        return [Branch(self.branch)]


def test_a_model_of_ones_own_says_where_its_branches_end() -> None:
    model = Told().train()
    Regularizer(model).set(Regularization(stochastic_depth=1.0))
    assert torch.equal(predict(model, IMAGES, TIMES), IMAGES)
    with pytest.raises(InputError, match="Sum does not say where its residual branches end"):
        Regularizer(Sum())
