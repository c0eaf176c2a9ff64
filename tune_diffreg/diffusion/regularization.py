"""Residual dropout, attention dropout and stochastic depth, applied from outside.

Every probability is a 0-d buffer that is not part of the state dict: the weights load anywhere, and
one compiled graph serves all trials, since a probability is data and no constant of the graph.
All act in training mode only.
"""

from __future__ import annotations

from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from torch import nn

from tune_diffreg.diffusion.branches import residual_branches
from tune_diffreg.study import Regularization


class Regularizer:
    """The knobs of one model.

    Raises:
        InputError: the model does not say where its residual branches end.
    """

    def __init__(self, model: nn.Module) -> None:
        self._residual: list[Drop] = []
        self._attention: list[Drop] = []
        self._weights: list[tuple[Attention, Drop]] = []
        self._depth: list[Drop] = []
        for branch in residual_branches(model):
            if branch.dropout is not None:
                drop = Drop(branch.dropout, "dropout")
                branch.dropout.register_forward_hook(drop.of_elements)
                (self._residual if branch.attention is None else self._attention).append(drop)
                if isinstance(branch.dropout, nn.Dropout):
                    branch.dropout.p = 0.0  # ours acts instead
            if branch.attention is not None:
                drop = Drop(branch.attention, "weight_dropout")
                self._weights.append((branch.attention, drop))
            drop = Drop(branch.last, "stochastic_depth")
            branch.last.register_forward_hook(drop.of_images)
            self._depth.append(drop)
        self._plain_processors = [attention.processor for attention, _ in self._weights]

    def set(self, settings: Regularization) -> None:
        """Changes the probabilities in flight."""
        for drop in self._residual:
            drop.set(settings.residual_dropout)
        for drop in self._attention:
            drop.set(settings.attention_dropout)
        for (attention, drop), plain in zip(self._weights, self._plain_processors, strict=True):
            drop.set(settings.attention_weight_dropout)
            attention.processor = plain if drop.off else _DroppedWeights(drop, plain)
        for index, drop in enumerate(self._depth, 1):
            growing = settings.depth_profile == "linear"
            share = index / len(self._depth) if growing else 1.0
            drop.set(settings.stochastic_depth * share)


class Drop:
    """One probability, kept as a buffer of the module on whose output it acts."""

    def __init__(self, module: nn.Module, name: str) -> None:
        self._module = module
        self._name = f"{name}_probability"
        device = next((p.device for p in module.parameters()), None)
        module.register_buffer(self._name, torch.zeros((), device=device), persistent=False)
        self.off = True

    def set(self, probability: float) -> None:
        self._probability.fill_(probability)
        self.off = probability == 0

    @property
    def _probability(self) -> torch.Tensor:
        buffer: torch.Tensor = getattr(self._module, self._name)
        return buffer

    def of_elements(self, module: nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
        """Dropout (Srivastava et al. 2014), as a forward hook."""
        return self(output, output.shape) if module.training else output

    def of_images(self, module: nn.Module, _: Any, output: torch.Tensor) -> torch.Tensor:
        """Stochastic depth (Huang et al. 2016), as a forward hook: an image skips the branch.

        A branch that is kept is scaled up, so that its mean stays and sampling needs no change.
        """
        rows = (len(output), *[1] * (output.ndim - 1))
        return self(output, rows) if module.training else output

    def __call__(self, values: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
        """Zeroes with the probability, one draw for each element of `shape`, and scales the rest.

        Draws are float32 whatever the values are: bfloat16 has but 256 steps below 1.
        """
        # A graph must not depend on the probability; without a graph, zero costs nothing.
        if not torch.compiler.is_compiling() and self.off:
            return values
        p = self._probability
        kept = torch.rand(shape, device=values.device) >= p
        return (values * torch.where(kept, 1 / (1 - p), 0)).to(values.dtype)


class _DroppedWeights:
    """Self-attention whose weights are dropped out; in evaluation the plain processor serves.

    PyTorch's fused attention takes a probability as a constant only, so here the weights are
    formed. `(N, C, H, W)` or `(N, tokens, C)`, as diffusers' `Attention` has it.
    """

    def __init__(self, drop: Drop, plain: Any) -> None:
        self._drop = drop
        self._plain = plain

    def __call__(
        self,
        attention: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        temb: torch.Tensor | None = None,
    ) -> torch.Tensor:
        if encoder_hidden_states is not None or attention_mask is not None:
            raise ValueError("attention_weight_dropout is for self-attention without a mask")
        if not attention.training:
            evaluated: torch.Tensor = self._plain(
                attention, hidden_states, encoder_hidden_states, attention_mask, temb
            )
            return evaluated
        tokens = hidden_states
        if hidden_states.ndim == 4:
            tokens = hidden_states.flatten(2).transpose(1, 2)
        if attention.group_norm is not None:
            tokens = attention.group_norm(tokens.transpose(1, 2)).transpose(1, 2)
        query, key, value = (
            part(tokens).unflatten(-1, (attention.heads, -1)).transpose(1, 2)
            for part in (attention.to_q, attention.to_k, attention.to_v)
        )
        if attention.norm_q is not None:
            query = attention.norm_q(query)
        if attention.norm_k is not None:
            key = attention.norm_k(key)
        weights = (query @ key.transpose(-1, -2) * attention.scale).softmax(dim=-1)
        mixed = self._drop(weights, weights.shape).to(value.dtype) @ value
        output = mixed.transpose(1, 2).flatten(2)
        for module in attention.to_out:
            output = module(output)
        if hidden_states.ndim == 4:
            output = output.transpose(1, 2).reshape(hidden_states.shape)
        if attention.residual_connection:
            output = output + hidden_states
        rescaled: torch.Tensor = output / attention.rescale_output_factor
        return rescaled
