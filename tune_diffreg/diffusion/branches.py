"""Where the residual branches of a denoiser end: what regularisation needs to know of a model.

A model of one's own says it with a method `residual_branches() -> Iterable[Branch]`, in the order
of depth. diffusers' `UNet2DModel` and `DiTTransformer2DModel` are known already, where they have no
such method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from diffusers import DiTTransformer2DModel, UNet2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D, ResnetBlockCondNorm2D
from diffusers.models.unets.unet_2d_blocks import (
    AttnDownBlock2D,
    AttnSkipDownBlock2D,
    AttnSkipUpBlock2D,
    AttnUpBlock2D,
    DownBlock2D,
    KDownBlock2D,
    KUpBlock2D,
    ResnetDownsampleBlock2D,
    ResnetUpsampleBlock2D,
    SkipDownBlock2D,
    SkipUpBlock2D,
    UNetMidBlock2D,
    UpBlock2D,
)
from torch import nn

from tune_diffreg.errors import InputError
from tune_diffreg.factory import in_a_line

_LEVELS = (
    AttnDownBlock2D, AttnSkipDownBlock2D, AttnSkipUpBlock2D, AttnUpBlock2D, DownBlock2D,
    KDownBlock2D, KUpBlock2D, ResnetDownsampleBlock2D, ResnetUpsampleBlock2D, SkipDownBlock2D,
    SkipUpBlock2D, UNetMidBlock2D, UpBlock2D,
)  # fmt: skip
"""Parts of a `UNet2DModel` of which `_in_order` knows all branches."""


@dataclass(frozen=True)
class Branch:
    """One residual branch.

    Attributes:
        last: the module whose output, perhaps scaled, is added to the shortcut, `(N, ...)`.
        dropout: a module inside the branch whose output is dropped out, or None.
        attention: the diffusers attention that the branch is, or None. Its dropout is
            `regularization.attention_dropout`, that of all others `residual_dropout`.
    """

    last: nn.Module
    dropout: nn.Module | None = None
    attention: Attention | None = None


def residual_branches(model: Any) -> list[Branch]:
    """The branches of `model`, in the order of depth.

    Raises:
        InputError: the model does not say where they are, or says that there are none.
    """
    kind = type(model).__name__
    if not hasattr(model, "residual_branches"):
        if isinstance(model, UNet2DModel):
            return list(_of_unet(model))
        if isinstance(model, DiTTransformer2DModel):
            return list(_of_dit(model))
        raise InputError(
            f"model: {kind} does not say where its residual branches end; give it a method "
            "residual_branches() that returns tune_diffreg.diffusion.Branch objects"
        )
    try:
        branches = list(model.residual_branches())
    except Exception as error:
        said = in_a_line(error)
        raise InputError(f"model: residual_branches() of {kind} fails: {said}") from None
    if not branches or not all(isinstance(branch, Branch) for branch in branches):
        raise InputError(
            f"model: residual_branches() of {kind} must return at least one Branch and nothing else"
        )
    for branch in branches:
        for module in (branch.last, branch.dropout):
            if not isinstance(module, nn.Module | None):
                raise InputError(f"model: a Branch of {kind} names {module!r}, which is no module")
    return branches


def _of_unet(unet: UNet2DModel) -> Iterator[Branch]:
    """Raises InputError where it has a block that is not known."""
    for level in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        if level is None:  # there need be no middle
            continue
        if not isinstance(level, _LEVELS):
            raise InputError(
                f"model: where the residual branches of diffusers' {type(level).__name__} end is "
                "not known; use other blocks, or a subclass of UNet2DModel with a method "
                "residual_branches() that returns tune_diffreg.diffusion.Branch objects"
            )
        for module in _in_order(level):
            if isinstance(module, ResnetBlock2D | ResnetBlockCondNorm2D):
                yield Branch(module.conv2, module.dropout)
            elif isinstance(module, Attention):
                yield _of_attention(module)


def _in_order(level: Any) -> Iterator[nn.Module | None]:
    """The modules of a level as they are called; a change of size may be a residual block too."""
    attentions = getattr(level, "attentions", ())
    if isinstance(level, AttnSkipUpBlock2D):  # attends once, after its residual blocks
        yield from (*level.resnets, *attentions)
    else:
        for pair in zip_longest(level.resnets, attentions):
            yield from pair
    yield getattr(level, "resnet_down", None)
    yield getattr(level, "resnet_up", None)
    yield from getattr(level, "downsamplers", None) or ()
    yield from getattr(level, "upsamplers", None) or ()


def _of_dit(transformer: DiTTransformer2DModel) -> Iterator[Branch]:
    for block in transformer.transformer_blocks:
        yield _of_attention(block.attn1)
        _, inner_dropout, last = block.ff.net[:3]
        yield Branch(last, inner_dropout)


def _of_attention(attention: Attention) -> Branch:
    _, dropout = attention.to_out
    # What the branch ends in is the dropout itself, since both hooks may sit on one module.
    return Branch(dropout, dropout, attention)
