"""A model set up on its device as the training loop calls it, once for many trials.

Building, moving and compiling cost more than many a short trial, and a CUDA graph belongs to the
memory of one model. So a worker keeps its network and gives it fresh weights and other knobs; it
trains to the same bits as a new one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import nn

from tune_diffreg.diffusion.conditioning import AugmentationEmbedding
from tune_diffreg.diffusion.loss import Predict
from tune_diffreg.diffusion.model import build_model, predict
from tune_diffreg.diffusion.parallel import WHOLE, Part
from tune_diffreg.diffusion.regularization import Regularizer
from tune_diffreg.study import TrialConfig


class Network:
    """The model in training with its knobs, and a plain copy of it for averaged weights.

    Raises:
        InputError: a model of one's own cannot be built, or does not say what is asked of it.
    """

    def __init__(self, config: TrialConfig, device: torch.device, part: Part = WHOLE) -> None:
        self.device = device
        # Tensor cores want channels innermost. A CPU gains nothing by it, and would round otherwise
        # than a pipeline that loads the export.
        cuda = device.type == "cuda"
        self._layout = torch.channels_last if cuda else torch.contiguous_format
        self._key = _key(config)
        model = build_model(config.model, config.training.seed)
        self.averaged = copy.deepcopy(model).eval().requires_grad_(False)
        self.averaged.to(device).to(memory_format=self._layout)
        self._regularizer = Regularizer(model)
        batch = config.training.batch_size // part.count
        self.embedding = (
            AugmentationEmbedding(model, config.model, batch, config.training.seed).to(device)
            if config.augmentation.conditional
            else None
        )
        self.model = model.to(device).to(memory_format=self._layout).train()
        self._regularizer.set(config.regularization)
        self._autocast = _wants_bf16(config, device)
        self._call = _caller(config, device)

    def fits(self, config: TrialConfig) -> bool:
        """Whether a trial of `config` can use this network."""
        return self._key == _key(config)

    def reset(self, config: TrialConfig) -> None:
        """Fresh weights and the knobs of `config`, as a new network would have them."""
        fresh = build_model(config.model, config.training.seed)
        for model in (self.model, self.averaged):
            model.load_state_dict(fresh.state_dict())
            _copy_buffers(dict(fresh.named_buffers()), model)
        for module in self.trainable():
            module.zero_grad(set_to_none=True)  # of a trial that broke off inside a step
        if self.embedding is not None:
            self.embedding.reset(config.training.seed)
        self._regularizer.set(config.regularization)

    def copy_buffers(self) -> None:
        """Gives the averaged model what is not averaged, a batch normalisation's statistics say."""
        _copy_buffers(self.buffers(), self.averaged)

    def load_buffers(self, saved: Mapping[str, torch.Tensor]) -> None:
        """Gives the model what `buffers` was."""
        _copy_buffers(saved, self.model)

    def buffers(self) -> dict[str, torch.Tensor]:
        """The model's own, also those that it leaves out of its state dict; no knobs."""
        trained = dict(self.model.named_buffers())
        return {name: trained[name] for name, _ in self.averaged.named_buffers()}

    def trainable(self) -> list[nn.Module]:
        """What the optimiser trains."""
        return [self.model] if self.embedding is None else [self.model, self.embedding]

    @property
    def predict(self) -> Predict:
        """Prediction of the model in training."""
        return partial(self._predict, self.model)

    @property
    def predict_averaged(self) -> Predict:
        """Prediction of the averaged weights."""
        return partial(self._predict, self.averaged)

    def _predict(
        self, model: nn.Module, noisy: torch.Tensor, timesteps: torch.Tensor
    ) -> torch.Tensor:
        """The network alone in reduced precision; noise and loss are float32 around it."""
        noisy = noisy.contiguous(memory_format=self._layout)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._autocast):
            predicted = self._call(model, noisy, timesteps)
        return predicted.float()


@torch.no_grad()
def _copy_buffers(source: Mapping[str, torch.Tensor], target: nn.Module) -> None:
    """Those outside the state dict too."""
    own = dict(target.named_buffers())
    for name, buffer in source.items():
        own[name].copy_(buffer)


def _key(config: TrialConfig) -> tuple[object, ...]:
    """What two trials must agree in to share a network."""
    training = config.training
    # A model of one's own may keep what its seed made where a reset does not reach.
    seed = None if config.model.factory is None else training.seed
    conditional = config.augmentation.conditional
    return (
        config.model, seed, training.batch_size, conditional, training.precision, training.compile
    )  # fmt: skip


def _wants_bf16(config: TrialConfig, device: torch.device) -> bool:
    if config.training.precision == "auto":
        return device.type == "cuda"
    return config.training.precision == "bf16"


def _caller(
    config: TrialConfig, device: torch.device
) -> Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor]:
    wanted = config.training.compile
    if wanted is None:
        wanted = device.type == "cuda"
    if not wanted:
        return predict
    # Another network's graphs are of no use any more, and would count towards PyTorch's limit.
    torch.compiler.reset()
    # CUDA graphs replay a step without a kernel launch each; on a CPU there are none.
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    compiled: Callable[[nn.Module, torch.Tensor, torch.Tensor], torch.Tensor] = torch.compile(
        predict, mode=mode, dynamic=False
    )
    return compiled
