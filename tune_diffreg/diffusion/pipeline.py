"""Generates from a pipeline folder as diffusers writes it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DModel

from tune_diffreg.diffusion.model import predict
from tune_diffreg.diffusion.sampling import latents, sample, sampling_scheduler
from tune_diffreg.errors import InputError
from tune_diffreg.factory import in_a_line


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
                folder, subfolder="unet", use_safetensors=True, **local
            ).eval()
            self.scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler", **local)
        except Exception as error:
            raise InputError(
                f"{folder}: is no pipeline of an unconditional U-Net: {in_a_line(error)}"
            ) from None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image, `(C, H, W)`."""
        size = self.unet.config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return self.unet.config.in_channels, height, width

    def generate(self, count: int, sampler: str, steps: int, first: int = 0) -> torch.Tensor:
        """Images `(count, C, H, W) uint8`; image i starts from seed `first` + i."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.unet.to(device)
        noise = latents(first, count, self.shape).to(device)
        scheduler = sampling_scheduler(sampler, self.scheduler)
        return sample(partial(predict, self.unet), scheduler, noise, steps)
