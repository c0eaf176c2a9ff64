"""A registered model as MLflow loads it: `mlflow.pyfunc.load_model("models:/digits@champion")`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMPipeline

from tune_diffreg.results import read_best


class Champion:
    """An export that makes an image a seed."""

    def __init__(self, export: Path) -> None:
        self._pipeline = DDPMPipeline.from_pretrained(export / "pipeline", use_safetensors=True)
        self._pipeline.set_progress_bar_config(disable=True)
        self._steps = read_best(export / "best.yaml", trusted=True).config.evaluation.steps

    def predict(self, seeds: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Images `(N, H, W, C)`, float in [0, 1]: one for each of the integers given."""
        given = seeds.to_numpy() if isinstance(seeds, pd.DataFrame) else np.asarray(seeds)
        draws = [torch.Generator().manual_seed(int(seed)) for seed in given.ravel()]
        steps = (params or {}).get("num_inference_steps", self._steps)
        made = self._pipeline(
            batch_size=len(draws), generator=draws, num_inference_steps=steps, output_type="np"
        )
        images: np.ndarray = made.images
        return images


def _load_pyfunc(path: str) -> Champion:
    """What MLflow calls."""
    return Champion(Path(path))
