"""The training loop of one denoiser. Images seen is its only clock."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn

from tune_diffreg.diffusion.augmentation import augment
from tune_diffreg.diffusion.loss import prediction_loss, to_model_range
from tune_diffreg.diffusion.model import build_unet
from tune_diffreg.diffusion.optimizer import build_optimizer, warmed_up
from tune_diffreg.diffusion.regularization import regularize
from tune_diffreg.diffusion.schedule import ddim_scheduler
from tune_diffreg.errors import WorkFailed
from tune_diffreg.seeds import derive, generator
from tune_diffreg.study import TrialConfig


class Diverged(WorkFailed):
    """The loss is no longer a finite number."""


class Trainer:
    """Trains the U-Net of `config` on `images`, a whole batch a step.

    Every draw depends on (seed, purpose, step) alone, so `load_state_dict` in another process
    goes on exactly as if nothing had happened.

    Args:
        images: `(N, C, H, W) uint8`; they stay on `device`.
    """

    def __init__(self, config: TrialConfig, images: torch.Tensor, device: torch.device) -> None:
        self.config = config
        self.device = device
        self.images = images.to(device)
        self.steps = 0
        self.model = build_unet(config.model, config.training.seed).to(device).train()
        self.ema_model = copy.deepcopy(self.model).eval().requires_grad_(False)
        regularize(self.model, config.regularization)
        self.optimizer = build_optimizer(self.model, config.optimizer)
        self.scheduler = ddim_scheduler(config.diffusion)
        self._weights = list(self.model.parameters())
        self._ema_weights = list(self.ema_model.parameters())
        self._loss_sum = torch.zeros((), device=device)

    @property
    def images_seen(self) -> int:
        return self.steps * self.config.training.batch_size

    def step(self) -> None:
        """One batch: draw, augment, add noise, predict, descend, average."""
        seed, training = self.config.training.seed, self.config.training
        draw = generator(seed, "training step", self.steps, self.device)
        clean = to_model_range(self.images[self._batch_indices().to(self.device)])
        clean = augment(clean, self.config.augmentation, draw)
        noise = torch.randn(clean.shape, generator=draw, device=self.device)
        timesteps = torch.randint(
            self.config.diffusion.timesteps, (len(clean),), generator=draw, device=self.device
        )

        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # dropout draws from the global generator
            torch.manual_seed(derive(seed, "dropout", self.steps))
            loss = prediction_loss(self.model, self.scheduler, clean, noise, timesteps).mean()
        loss.backward()

        self.steps += 1
        if self.config.optimizer.clip_norm is not None:
            nn.utils.clip_grad_norm_(self._weights, self.config.optimizer.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = warmed_up(self.config.optimizer, self.images_seen)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        # Early on the average must not cling to the initial weights (as diffusers' EMAModel).
        decay = min(training.ema, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(self._ema_weights, self._weights, 1 - decay)
        self._loss_sum += loss.detach()

    def check_finite(self) -> None:
        """Waits for the device and looks whether training still makes sense.

        Raises:
            Diverged: the loss is not a finite number.
        """
        total = self._loss_sum.item()
        if not math.isfinite(total):
            raise Diverged(f"the training loss became {total} by {self.images_seen:,} images seen")

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on."""
        return {
            "steps": self.steps,
            "model": self.model.state_dict(),
            "ema_model": self.ema_model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loss_sum": self._loss_sum,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        self.model.load_state_dict(state["model"])
        self.ema_model.load_state_dict(state["ema_model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._loss_sum = state["loss_sum"].to(self.device)

    def _batch_indices(self) -> torch.Tensor:
        """The next batch of a walk that visits all images in a new order each time round."""
        size, count = len(self.images), self.config.training.batch_size
        first = self.images_seen
        rounds = range(first // size, (first + count - 1) // size + 1)
        orders = [self._order(number) for number in rounds]
        offset = first % size
        return torch.cat(orders)[offset : offset + count]

    def _order(self, number: int) -> torch.Tensor:
        shuffle = generator(self.config.training.seed, "order of images", number)
        return torch.randperm(len(self.images), generator=shuffle)
