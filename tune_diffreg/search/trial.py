"""One trial: the room where data, diffusion and evaluation meet.

Knows nothing of Ray: `tune-diffreg train` runs the same code as the search.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import save
from torchvision.io import encode_png
from torchvision.utils import make_grid

from tune_diffreg.data import Splits, load_splits
from tune_diffreg.data.image_folder import Progress
from tune_diffreg.diffusion import Trainer, denoising_loss, latents, sample
from tune_diffreg.evaluation import FeatureExtractor, Reference, load_extractor
from tune_diffreg.results import replacing, write_atomically
from tune_diffreg.study import Resources, TrialConfig

log = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"
MODEL = "model.safetensors"
SAMPLES = "samples.png"
_SHEET = 64
_SHEET_SIDE = 32  # pixels; smaller images are enlarged by whole factors


@dataclass(frozen=True)
class Materials:
    """What all trials of a study share: the images, the reference, the extractor.

    The test split is not here: the search never sees it.
    """

    train: torch.Tensor
    validation: torch.Tensor
    reference: Reference
    extractor: FeatureExtractor

    @classmethod
    def prepare(cls, config: TrialConfig, splits: Splits) -> Materials:
        """Makes the reference of the validation split.

        Raises:
            InputError: the extractor's weights are absent, or a split is too small.
        """
        extractor = load_extractor(config.evaluation)
        reference = Reference.of(splits.train, splits.validation, extractor, config.distance)
        return cls(splits.train, splits.validation, reference, extractor)


def load_materials(
    config: TrialConfig, threads: int, progress: Progress | None = None
) -> tuple[Splits, Materials]:
    """Loads the data of a configuration and prepares what it is scored with.

    Args:
        threads: as many as a trial has; the reference is part of every score, and the number of
            threads decides how its sums are rounded.
    """
    torch.set_num_threads(threads)
    splits = load_splits(config.data, config.model, progress)
    return splits, Materials.prepare(config, splits)


def device_for(resources: Resources) -> torch.device:
    """The GPU that this process may use, if the study asks for one; else the CPU."""
    return torch.device("cuda" if resources.gpu > 0 else "cpu")


class Trial:
    """Trains one configuration and scores it when asked to."""

    def __init__(self, config: TrialConfig, materials: Materials, device: torch.device) -> None:
        self.config = config
        self.materials = materials
        materials.extractor.to(device)
        self.trainer = Trainer(config, materials.train, device)
        self.seconds = 0.0

    @property
    def images_seen(self) -> int:
        return self.trainer.images_seen

    def train(self, until: int, seconds: float = float("inf")) -> bool:
        """Trains until `until` images are seen or `seconds` have passed.

        Returns:
            Whether `until` is reached.
        """
        start = time.monotonic()
        while self.images_seen < until and time.monotonic() - start < seconds:
            self.trainer.step()
        self.seconds += time.monotonic() - start
        return self.images_seen >= until

    def evaluate(self) -> tuple[dict[str, float], torch.Tensor]:
        """All scores of the averaged weights, and the generated images they were taken on.

        Raises:
            Diverged: the training loss is not finite.
        """
        start = time.monotonic()
        self.trainer.check_finite()
        model, scheduler = self.trainer.ema_model, self.trainer.scheduler
        settings = self.config.evaluation
        shape = tuple(self.trainer.images.shape[1:])
        noise = latents(settings.latents, settings.samples, shape)
        images = sample(model, scheduler, noise, settings.steps)
        train_loss = denoising_loss(model, scheduler, self.trainer.images)
        validation_loss = denoising_loss(
            model, scheduler, self.materials.validation.to(self.trainer.device)
        )
        scores = {
            **self.materials.reference.score(images, self.materials.extractor),
            "heldout_memorized_fraction": self.materials.reference.heldout_memorized_fraction,
            "validation_loss": validation_loss,
            "train_loss": train_loss,
            "loss_gap": (validation_loss - train_loss) / train_loss,
        }
        self.seconds += time.monotonic() - start
        return scores, images

    def save_checkpoint(self, folder: Path) -> None:
        """Keeps all that the rest of the training depends on."""
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / CHECKPOINT) as file:
            torch.save({"trainer": self.trainer.state_dict(), "seconds": self.seconds}, file)

    def load_checkpoint(self, folder: Path) -> None:
        """Goes on from the checkpoint in `folder`, if there is one that can be read.

        Starting over instead takes longer and gives the same to the bit.
        """
        path = folder / CHECKPOINT
        try:
            state: dict[str, Any] = torch.load(
                path, map_location=self.trainer.device, weights_only=True
            )
        except FileNotFoundError:
            return
        except (RuntimeError, EOFError, ValueError, OSError, UnpicklingError) as error:
            log.warning("%s cannot be read (%s); the trial starts over", path, error)
            return
        self.trainer.load_state_dict(state["trainer"])
        self.seconds = state["seconds"]

    def save_model(self, folder: Path) -> None:
        """Keeps the averaged weights: what `export` makes a pipeline of."""
        folder.mkdir(parents=True, exist_ok=True)
        state = {k: v.contiguous().cpu() for k, v in self.trainer.ema_model.state_dict().items()}
        write_atomically(folder / MODEL, save(state))


def save_sheet(images: torch.Tensor, path: Path) -> None:
    """A PNG of the first images, eight in a row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    factor = max(1, _SHEET_SIDE // images.shape[-1])
    enlarged = images[:_SHEET].repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    grid = make_grid(enlarged, nrow=8, padding=2, pad_value=255)
    write_atomically(path, bytes(encode_png(grid).numpy().tobytes()))
