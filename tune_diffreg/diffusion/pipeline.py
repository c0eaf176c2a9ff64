"""Generates from a pipeline folder as diffusers writes it, and from a model of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DModel
from safetensors.torch import load_model

from tune_diffreg.diffusion.device import any_device
from tune_diffreg.diffusion.model import build_model, predict
from tune_diffreg.diffusion.sampling import latents, sample, sampling_scheduler
from tune_diffreg.diffusion.schedule import ddim_scheduler
from tune_diffreg.errors import InputError
from tune_diffreg.factory import in_a_line
from tune_diffreg.study import TrialConfig
from tune_diffreg.study.sections import spaced


class Pipeline:
    """An unconditional U-Net in pixels and its schedule; nothing is downloaded.

    Args:
        folder: holds `unet` and `scheduler`.

    Raises:
        InputError: it is no such pipeline, or damaged.
    """

    def __init__(self, folder: Path) -> None:
        local: dict[str, Any] = {"local_files_only": True}
        try:
            self.unet = UNet2DModel.from_pretrained(
                folder, subfolder="unet", use_safetensors=True, low_cpu_mem_usage=False, **local
            ).eval()
            self.scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler", **local)
        except Exception as error:
            raise InputError(
                f"{folder}: is no pipeline of an unconditional U-Net: {in_a_line(error)}"
            ) from None
        self._folder = folder
        self._check()

    def _check(self) -> None:
        config = self.unet.config
        if config.in_channels != config.out_channels:
            raise InputError(
                f"{self._folder}: its U-Net returns {config.out_channels} channels for "
                f"{config.in_channels}; a denoiser returns as many as it takes"
            )
        if self.unet.class_embedding is not None:
            raise InputError(
                f"{self._folder}: its U-Net wants to be told a class; generate images with it, and "
                "name their folder"
            )
        if config.sample_size is None:
            raise InputError(
                f"{self._folder}: its U-Net does not say how large images are; set sample_size in "
                "unet/config.json"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image, `(C, H, W)`."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return self.unet.config.in_channels, height, width

    def generate(self, count: int, sampler: str, steps: int, first: int = 0) -> torch.Tensor:
        """Images `(count, C, H, W) uint8`; image i starts from seed `first` + i.

        Raises:
            InputError: so many steps do not fit into its timesteps, or it fails.
        """
        _check_steps(steps, self.scheduler)
        device = any_device()
        self.unet.to(device)
        noise = latents(first, count, self.shape).to(device)
        with _failing_in_a_sentence(self._folder, self.shape):
            scheduler = sampling_scheduler(sampler, self.scheduler)
            return sample(partial(predict, self.unet), scheduler, noise, steps)


class OwnPipeline:
    """A model that a factory makes, for which diffusers has no pipeline.

    Args:
        config: names the factory, which is run.
        weights: a safetensors file.

    Raises:
        InputError: the weights are missing, damaged, or of another model.
    """

    def __init__(self, config: TrialConfig, weights: Path) -> None:
        self._config = config
        self._weights = weights
        self._scheduler = ddim_scheduler(config.diffusion)
        self._model = build_model(config.model, config.training.seed).eval()
        try:
            load_model(self._model, weights)  # knows weights that share a tensor
        except Exception as error:
            raise InputError(f"{weights}: cannot be used ({in_a_line(error)})") from None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image, `(C, H, W)`."""
        model = self._config.model
        return model.in_channels, model.sample_size, model.sample_size

    def generate(self, count: int, sampler: str, steps: int, first: int = 0) -> torch.Tensor:
        """Images `(count, C, H, W) uint8`; image i starts from seed `first` + i.

        Raises:
            InputError: so many steps do not fit into its timesteps, or it fails.
        """
        _check_steps(steps, self._scheduler)
        with _failing_in_a_sentence(self._weights, self.shape):
            return self.denoise(latents(first, count, self.shape), sampler, steps)

    def denoise(self, noise: torch.Tensor, sampler: str, steps: int) -> torch.Tensor:
        """Images `(N, C, H, W) uint8` from noise of that shape."""
        device = any_device()
        self._model.to(device)
        scheduler = sampling_scheduler(sampler, self._scheduler)
        return sample(partial(predict, self._model), scheduler, noise.to(device), steps)


def _check_steps(steps: int, scheduler: DDIMScheduler) -> None:
    """Raises InputError where the scheduler cannot take so many steps."""
    timesteps = scheduler.config.num_train_timesteps
    if steps > timesteps:
        raise InputError(f"--steps {steps}: the pipeline has {timesteps:,} timesteps")
    if scheduler.config.timestep_spacing == "trailing" and not spaced(timesteps, steps):
        raise InputError(
            f"--steps {steps}: cannot be spread over {timesteps:,} timesteps by diffusers; take "
            "one more or less"
        )


@contextmanager
def _failing_in_a_sentence(path: Path, shape: tuple[int, int, int]) -> Iterator[None]:
    """For sizes that do not halve, a schedule that a sampler refuses."""
    try:
        yield
    except Exception as error:
        size = "x".join(map(str, shape))
        raise InputError(f"{path}: generating images of {size} fails: {in_a_line(error)}") from None
