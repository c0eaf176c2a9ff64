"""Generates from a pipeline folder as diffusers writes it, and from a model of one's own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

_MOST_TIMESTEPS = 1_000_000
"""Of a pipeline from elsewhere; each takes memory, and none is known with more than some 1,000."""

_MOST_LAYERS = 64
_WEIGHTS = "*.safetensors"


class Pipeline:
    """An unconditional U-Net in pixels and its schedule; nothing is downloaded.

    Args:
        folder: holds `unet` and `scheduler`.

    Raises:
        InputError: it is no such pipeline, or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._check_size(self._config(UNet2DModel, "unet"))
        with self._being_read():
            self.unet = UNet2DModel.from_pretrained(
                folder,
                subfolder="unet",
                use_safetensors=True,
                low_cpu_mem_usage=False,
                local_files_only=True,
            ).eval()
        self._check_unet()
        schedule = self._config(DDIMScheduler, "scheduler")
        self._check_schedule(schedule)
        with self._being_read():
            self.scheduler = DDIMScheduler.from_config(schedule)

    def _config(self, kind: Any, part: str) -> dict[str, Any]:
        """What a part of it says of itself."""
        with self._being_read():
            found = kind.load_config(self._folder, subfolder=part, local_files_only=True)
        if not isinstance(found, dict):
            raise InputError(f"{self._folder}: the configuration of its {part} is no JSON object")
        return found

    @contextmanager
    def _being_read(self) -> Iterator[None]:
        """Whatever diffusers raises of files that are missing, damaged or of something else."""
        try:
            yield
        except Exception as error:
            raise InputError(
                f"{self._folder}: is no pipeline of an unconditional U-Net: {in_a_line(error)}"
            ) from None

    def _check_size(self, network: dict[str, Any]) -> None:
        """Before it is built: a short text may describe a network that no machine holds."""
        layers = network.get("layers_per_block", 2)  # as diffusers does
        self._check_number("unet/config.json: layers_per_block", layers, _MOST_LAYERS)
        with self._being_read(), torch.device("meta"):
            described = UNet2DModel.from_config(network).num_parameters()
        weights = sum(file.stat().st_size for file in (self._folder / "unet").glob(_WEIGHTS))
        if 0 < weights < described:  # of none there are, what reads them tells
            raise InputError(
                f"{self._folder}: unet/config.json describes {described:,} weights, more than are "
                "beside it"
            )

    def _check_unet(self) -> None:
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
        sides = _sides(config.sample_size)
        if len(sides) != 2 or not all(map(_counts, (config.in_channels, *sides))):
            raise InputError(
                f"{self._folder}: unet/config.json: in_channels must be a whole number and "
                f"sample_size one or two, found {config.in_channels!r:.40} and "
                f"{config.sample_size!r:.40}"
            )

    def _check_schedule(self, schedule: dict[str, Any]) -> None:
        timesteps = schedule.get("num_train_timesteps", 1000)  # as diffusers does
        name = "scheduler/scheduler_config.json: num_train_timesteps"
        self._check_number(name, timesteps, _MOST_TIMESTEPS)

    def _check_number(self, name: str, value: Any, most: int) -> None:
        if not _counts(value) or value > most:
            raise InputError(
                f"{self._folder}: {name} must be a whole number of at most {most:,}, found "
                f"{value!r:.40}"
            )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image, `(C, H, W)`."""
        height, width = _sides(self.unet.config.sample_size)
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


def _sides(sample_size: Any) -> Sequence[Any]:
    """Height and width; one number is both."""
    return sample_size if isinstance(sample_size, list | tuple) else (sample_size, sample_size)


def _counts(value: Any) -> bool:
    """Whether a value of a JSON file is a number of things."""
    return type(value) is int and value > 0


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
