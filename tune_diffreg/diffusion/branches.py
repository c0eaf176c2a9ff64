"""Where the residual branches of a denoiser end: what regularisation needs to know of a model.

A model of one's own says it with a method `residual_branches() -> Iterable[Branch]`, in the order
of depth. diffusers' `UNet2DModel` and `DiTTransformer2DModel` are known already.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from diffusers import DiTTransformer2DModel, UNet2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from tune_diffreg.errors import InputError
from tune_diffreg.factory import in_a_line


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
    if isinstance(model, UNet2DModel):
        return list(_of_unet(model))
    if isinstance(model, DiTTransformer2DModel):
        return list(_of_dit(model))
    kind = type(model).__name__
    if not hasattr(model, "residual_branches"):
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
    for level in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        attentions: Iterable[Attention | None] = getattr(level, "attentions", ())
        for block, attention in zip_longest(level.resnets, attentions):
            assert isinstance(block, ResnetBlock2D)
            yield Branch(block.conv2, block.dropout)
            if attention is not None:
                yield _of_attention(attention)


def _of_dit(transformer: DiTTransformer2DModel) -> Iterator[Branch]:
    for block in transformer.transformer_blocks:
        yield _of_attention(block.attn1)
        _, inner_dropout, last = block.ff.net[:3]
        yield Branch(last, inner_dropout)


def _of_attention(attention: Attention) -> Branch:
    _, dropout = attention.to_out
    # What the branch ends in is the dropout itself, since both hooks may sit on one module.
    return Branch(dropout, dropout, attention)
