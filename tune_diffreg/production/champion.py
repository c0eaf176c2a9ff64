"""A registered model as MLflow loads it: `mlflow.pyfunc.load_model("models:/digits@champion")`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMPipeline

from tune_diffreg.diffusion import latents
from tune_diffreg.diffusion.pipeline import OwnPipeline
from tune_diffreg.production.export import PIPELINE
from tune_diffreg.results import read_best
from tune_diffreg.search.trial import MODEL
from tune_diffreg.study import TrialConfig


class Champion:
    """An export that makes an image a seed."""

    def __init__(self, export: Path) -> None:
        config = read_best(export / "best.yaml", trusted=True).config
        self._steps = config.evaluation.steps
        own = not (export / PIPELINE / "model_index.json").is_file()
        self._model = _Own(export, config) if own else _Unet(export)

    def predict(self, seeds: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Images `(N, H, W, C)`, float in [0, 1]: one for each of the integers given."""
        given = seeds.to_numpy() if isinstance(seeds, pd.DataFrame) else np.asarray(seeds)
        steps = (params or {}).get("num_inference_steps", self._steps)
        return self._model([int(seed) for seed in given.ravel()], steps)


class _Unet:
    """As plain diffusers does it."""

    def __init__(self, export: Path) -> None:
        self._pipeline = DDPMPipeline.from_pretrained(export / PIPELINE, use_safetensors=True)
        self._pipeline.set_progress_bar_config(disable=True)

    def __call__(self, seeds: list[int], steps: int) -> np.ndarray:
        draws = [torch.Generator().manual_seed(seed) for seed in seeds]
        made = self._pipeline(
            batch_size=len(draws), generator=draws, num_inference_steps=steps, output_type="np"
        )
        images: np.ndarray = made.images
        return images


class _Own:
    """A model that a factory makes; as the search does it."""

    def __init__(self, export: Path, config: TrialConfig) -> None:
        self._sampler = config.evaluation.sampler
        self._pipeline = OwnPipeline(config, export / PIPELINE / MODEL)

    def __call__(self, seeds: list[int], steps: int) -> np.ndarray:
        noise = torch.cat([latents(seed, 1, self._pipeline.shape) for seed in seeds])
        images = self._pipeline.denoise(noise, self._sampler, steps)
        return images.permute(0, 2, 3, 1).numpy().astype(np.float32) / 255


def _load_pyfunc(path: str) -> Champion:
    """What MLflow calls."""
    return Champion(Path(path))
