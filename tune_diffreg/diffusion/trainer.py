"""The training loop of one denoiser. Images seen is its only clock."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from tune_diffreg.diffusion import augmentation
from tune_diffreg.diffusion.averaging import Averages
from tune_diffreg.diffusion.batches import Walk, batches
from tune_diffreg.diffusion.device import device_memory
from tune_diffreg.diffusion.loss import (
    denoising_loss,
    loss_weights,
    prediction_loss,
    to_model_range,
)
from tune_diffreg.diffusion.network import Network
from tune_diffreg.diffusion.optimizer import build_optimizer, warmed_up
from tune_diffreg.diffusion.parallel import WHOLE, Part
from tune_diffreg.diffusion.schedule import ddim_scheduler
from tune_diffreg.errors import WorkFailed
from tune_diffreg.images import Images
from tune_diffreg.seeds import derive, generator
from tune_diffreg.study import TrialConfig


class Diverged(WorkFailed):
    """The loss is no longer a finite number."""


class Trainer:
    """Trains the model of `config` on `images`, a whole batch a step.

    Every draw depends on (seed, purpose, step) alone, so `load_state_dict` in another process
    goes on exactly as if nothing had happened. No step waits for the device.

    Args:
        images: `(N, C, H, W) uint8`, on the CPU; held on `device` if they fit.
        network: of an earlier trial that `config` fits; taken over and reset.
        part: of every batch, where several processes train together.

    Raises:
        InputError: a model of one's own cannot be built.
    """

    def __init__(
        self,
        config: TrialConfig,
        images: Images,
        device: torch.device,
        network: Network | None = None,
        part: Part = WHOLE,
    ) -> None:
        self.config = config
        self.device = device
        self._part = part
        self.steps = 0
        if network is not None and network.fits(config):
            network.reset(config)
        else:
            network = Network(config, device, part)
        self.network = network
        training = config.training
        self.walk = Walk(len(images), training.batch_size, training.seed, part)
        self._batch = batches(images, self.walk, device, device_memory(device))
        self.optimizer = build_optimizer(network.trainable(), config.optimizer)
        self.averages = Averages(network.model.parameters(), training.decays)
        self.scheduler = ddim_scheduler(config.diffusion)
        self.scheduler.alphas_cumprod = self.scheduler.alphas_cumprod.to(device)
        self._loss_weights = loss_weights(config.diffusion, self.scheduler.alphas_cumprod)
        self._weights = [p for module in network.trainable() for p in module.parameters()]
        # Over all steps, on the device: loss, gradient norm, steps that were clipped.
        self._sums = torch.zeros(3, dtype=torch.float64, device=device)

    @property
    def images_seen(self) -> int:
        return self.steps * self.config.training.batch_size

    def step(self) -> None:
        """One batch: draw, augment, add noise, predict, descend, average."""
        seed = self.config.training.seed
        draw = generator(seed, "training step", self.steps, self.device)
        clean = self._augmented(to_model_range(self._batch(self.steps)), draw)
        shape = (self.config.training.batch_size, *clean.shape[1:])
        noise = self._part.of(torch.randn(shape, generator=draw, device=self.device))
        most = self.config.diffusion.timesteps
        timesteps = torch.randint(most, shape[:1], generator=draw, device=self.device)
        timesteps = self._part.of(timesteps)

        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):  # dropout draws from the global generator
            torch.manual_seed(derive(seed, "dropout", self.steps) + self._part.number)
            losses = prediction_loss(self.network.predict, self.scheduler, clean, noise, timesteps)
        if self._loss_weights is not None:
            losses = losses * self._loss_weights[timesteps]
        loss = losses.mean()
        loss.backward()
        loss = loss.detach()
        gradients = [p.grad for p in self._weights if p.grad is not None]
        self._part.average([*gradients, loss])

        self.steps += 1
        norm = self._clip(gradients)
        for group in self.optimizer.param_groups:
            group["lr"] = warmed_up(self.config.optimizer, self.images_seen)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.averages.update(self.steps)
        clipped = norm > (self.config.optimizer.clip_norm or math.inf)
        self._sums += torch.stack([loss, norm, clipped.float()])

    def statistics(self) -> dict[str, float]:
        """Means over all steps so far, so that no pause shows. Waits for the device.

        Raises:
            Diverged: the loss is not a finite number.
        """
        self.check_finite()
        _, norm, clipped = (self._sums / max(1, self.steps)).tolist()
        return {"gradient_norm": norm, "clipped_fraction": clipped}

    def check_finite(self) -> None:
        """Waits for the device and looks whether training still makes sense.

        Raises:
            Diverged: the loss is not a finite number.
        """
        total = self._sums[0].item()
        if not math.isfinite(total):
            raise Diverged(f"the training loss became {total} by {self.images_seen:,} images seen")

    def choose_average(self, validation: Images) -> tuple[float, torch.Tensor]:
        """Gives the averaged model the weights whose validation loss is lowest.

        Args:
            validation: `(N, C, H, W) uint8` on the CPU.

        Returns:
            The decay, and its validation loss by noise band.
        """
        losses = []
        self.network.copy_buffers()
        for index in range(len(self.averages.decays)):
            self.averages.copy_to(self.network.averaged, index)
            losses.append(self.loss_of_average(validation))
        best = min(range(len(losses)), key=lambda index: losses[index].mean().item())
        self.averages.copy_to(self.network.averaged, best)
        return self.averages.decays[best], losses[best]

    def loss_of_average(self, images: Images) -> torch.Tensor:
        """Loss of the averaged model on `images` (on the CPU), by noise band."""
        predict = self.network.predict_averaged
        return denoising_loss(predict, self.scheduler, images, self.device)

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the training depends on."""
        return {
            "steps": self.steps,
            "buffers": self.network.buffers(),
            "trained": [module.state_dict() for module in self.network.trainable()],
            "averages": self.averages.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "sums": self._sums,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        for module, trained in zip(self.network.trainable(), state["trained"], strict=True):
            module.load_state_dict(trained)
        self.network.load_buffers(state["buffers"])
        self.averages.load_state_dict(state["averages"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._sums = state["sums"].to(self.device)

    def _augmented(self, clean: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
        settings = self.config.augmentation
        if not augmentation.is_on(settings):
            return clean
        draws = augmentation.draw(settings, clean, draw, self._part)
        if self.network.embedding is not None:
            self.network.embedding.tell(draws.labels())
        return augmentation.augment(clean, settings, draws)

    def _clip(self, gradients: list[torch.Tensor]) -> torch.Tensor:
        """Bounds the norm of the gradient; gives what it was."""
        most = self.config.optimizer.clip_norm
        norm = nn.utils.get_total_norm(gradients, foreach=True)
        if most is not None:
            nn.utils.clip_grads_with_norm_(self._weights, most, norm, foreach=True)
        return norm
