"""One trial: the room where data, diffusion and evaluation meet.

Knows nothing of Ray: `tune-diffreg train` runs the same code as the search.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from tune_diffreg.data import Splits, load_splits
from tune_diffreg.data.image_folder import Progress
from tune_diffreg.diffusion import (
    WHOLE,
    Network,
    Part,
    Trainer,
    latents,
    sample,
    sampling_scheduler,
)
from tune_diffreg.diffusion.device import free_memory
from tune_diffreg.evaluation import (
    Copies,
    FeatureExtractor,
    Measured,
    Reference,
    distance_ratios,
    kept,
    load_extractor,
    reference_file,
)
from tune_diffreg.images import Images
from tune_diffreg.search.checkpoint import load_checkpoint, save_checkpoint
from tune_diffreg.search.weights import save_weights
from tune_diffreg.study import TrialConfig

MODEL = "model.safetensors"
_PAIRS = 24
"""Generated images that are shown beside the training image they are most like."""
CHECKPOINT_SHARE = 0.05
"""Between rungs a checkpoint is written when that costs at most this part of the time."""


@dataclass(frozen=True)
class Materials:
    """What all trials of a study share: the images and the reference.

    Attributes:
        validation: what the choice among averages is made on.
        heldout: what losses are taken on, and the reference is made of: the validation split in a
            search, which never sees the other, and the test split in confirmation.
    """

    train: Images
    validation: Images
    heldout: Images
    reference: Reference

    @property
    def copies(self) -> Copies:
        """How near to the training images others come."""
        assert self.reference.copies is not None
        return self.reference.copies


def load_materials(
    config: TrialConfig,
    threads: int,
    progress: Progress | None = None,
    references: Path | None = None,
    measuring: Progress | None = None,
) -> tuple[Splits, Materials]:
    """Loads the data of a configuration and prepares what it is scored with.

    Args:
        threads: as many as a trial has; the reference is part of every score, and the number of
            threads decides how its sums are rounded.
        progress: called with (images read, images in all).
        references: folder in which references are kept; None keeps none.
        measuring: called with (images that the reference knows of, images in all).

    Raises:
        InputError: the data or the extractor's weights cannot be used, or a split is too small.
    """
    torch.set_num_threads(threads)
    splits = load_splits(config.data, config.model, progress)
    return splits, materials_of(config, splits, references, measuring=measuring)


def materials_of(
    config: TrialConfig,
    splits: Splits,
    references: Path | None,
    confirming: bool = False,
    measuring: Progress | None = None,
) -> Materials:
    """What trials are given of the splits.

    Args:
        references: folder in which references are kept; None keeps none.
        confirming: whether the test split is what is scored against.
        measuring: as there.

    Raises:
        InputError: the extractor's weights cannot be used, or a split is too small.
    """
    extractor, space = load_extractor(config.evaluation), config.evaluation.neighbors
    heldout = splits.test if confirming else splits.validation

    def measure() -> Measured:
        with _on_any_gpu(extractor):
            return Measured.of(heldout, splits.train, extractor, space, measuring)

    if references is None:
        measured = measure()
    else:
        data = f"{splits.digest}, {'test' if confirming else 'validation'} split"
        measured = kept(reference_file(references, data, extractor, space), measure)
    reference = Reference(splits.train.shape[1:], splits.train, extractor, measured)
    return Materials(splits.train, splits.validation, heldout, reference)


@contextmanager
def _on_any_gpu(extractor: FeatureExtractor) -> Iterator[None]:
    """Lets the extractor use a GPU of this machine, and leaves nothing there for trials to miss."""
    if not torch.cuda.is_available():
        yield
        return
    extractor.to(torch.device("cuda"))
    try:
        yield
    finally:
        extractor.to(torch.device("cpu"))  # trials may be sent to a machine that has none
        free_memory()


class Trial:
    """Trains one configuration and scores it when asked to.

    Attributes:
        scoring: whether it is being scored, or broke off in that.
    """

    def __init__(
        self,
        config: TrialConfig,
        materials: Materials,
        device: torch.device,
        network: Network | None = None,
        part: Part = WHOLE,
    ) -> None:
        self.config = config
        self.materials = materials
        materials.reference.to(device)
        self.trainer = Trainer(config, materials.train, device, network, part)
        self.seconds = 0.0
        self.scoring = False
        self._saved_at = time.monotonic()
        self._save_cost = 0.0

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
        start, self.scoring = time.monotonic(), True
        trainer = self.trainer
        statistics = trainer.statistics()
        decay, validation = trainer.choose_average(self.materials.validation)
        if self.materials.heldout is not self.materials.validation:
            validation = trainer.loss_of_average(self.materials.heldout)
        train = trainer.loss_of_average(self.materials.train)
        gaps = (validation - train) / train
        bands = range(1, len(gaps) + 1)
        images = self.denoise(self.config.samples_at(self.images_seen))
        scores = {
            **self.materials.reference.score(images),
            "validation_loss": validation.mean().item(),
            "train_loss": train.mean().item(),
            "loss_gap": (validation.mean() / train.mean() - 1).item(),
            **{f"validation_loss_band_{i}": validation[i - 1].item() for i in bands},
            **{f"loss_gap_band_{i}": gaps[i - 1].item() for i in bands},
            "ema": decay,
            **statistics,
        }
        self.seconds, self.scoring = self.seconds + time.monotonic() - start, False
        return scores, images

    def denoise(self, samples: int, steps: int | None = None) -> torch.Tensor:
        """Images `(samples, C, H, W) uint8` of the averaged weights, from the study's latents.

        Args:
            steps: of the sampler; as the configuration says if left out.
        """
        settings, network = self.config.evaluation, self.trainer.network
        shape = tuple(self.materials.train.shape[1:])
        noise = latents(settings.latents, samples, shape).to(network.device)
        scheduler = sampling_scheduler(settings.sampler, self.trainer.scheduler)
        return sample(network.predict_averaged, scheduler, noise, steps or settings.steps)

    def nearest_pairs(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Those of generated `images` most like a training image, and these, most alike first."""
        found = self.materials.reference.nearest(images)
        alike = distance_ratios(found).argsort(stable=True)[:_PAIRS]
        return images[alike], self.materials.train[found.target[alike, 0]]

    def save(self, folder: Path) -> None:
        """Keeps all that the rest of the training depends on."""
        start = time.monotonic()
        save_checkpoint(folder, {"trainer": self.trainer.state_dict(), "seconds": self.seconds})
        self._saved_at = time.monotonic()
        self._save_cost = self._saved_at - start

    def save_if_cheap(self, folder: Path) -> None:
        """The same, unless it would cost more than `CHECKPOINT_SHARE` of the time since."""
        if self._save_cost <= CHECKPOINT_SHARE * (time.monotonic() - self._saved_at):
            self.save(folder)

    def load(self, folder: Path) -> None:
        """Goes on from the checkpoint in `folder`, if there is one that is whole."""
        state = load_checkpoint(folder)
        if state is not None:
            self.trainer.load_state_dict(state["trainer"])
            self.seconds = state["seconds"]

    def save_model(self, folder: Path) -> None:
        """Keeps the averaged weights: what `export` makes a pipeline of."""
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(folder / MODEL, self.trainer.network.averaged.state_dict())
