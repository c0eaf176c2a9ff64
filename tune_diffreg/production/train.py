"""Production training: one configuration at full length, by the code that the search ran."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tune_diffreg.production.export import PIPELINE, new_folder, save_pipeline
from tune_diffreg.results import Best
from tune_diffreg.results.formats import to_json
from tune_diffreg.search.sheets import SAMPLES, save_sheet
from tune_diffreg.search.trial import Trial, device_for, load_materials

# How often the caller hears how far the training is.
_NEWS_SECONDS = 0.5


@dataclass(frozen=True)
class Trained:
    """What a training scored, and whether on the images of the search."""

    scores: dict[str, float]
    same_data: bool


def train(best: Best, output: Path, progress: Callable[[int, int], None]) -> Trained:
    """Trains, scores against the validation split, and writes pipeline, scores and samples.

    On the same machine, with as many threads as a trial had, the scores are those of the trial to
    the last bit.

    Args:
        progress: called with (images seen, images in all).

    Raises:
        InputError: the data cannot be loaded, or `output` is in use.
        Diverged: the loss is no longer finite.
    """
    with new_folder(output) as unfinished:
        splits, materials = load_materials(best.config, best.resources.cpu)
        trial = Trial(best.config, materials, device_for(best.resources))
        images = best.config.training.images
        while not trial.train(until=images, seconds=_NEWS_SECONDS):
            trial.trainer.check_finite()
            progress(trial.images_seen, images)
        progress(images, images)
        scores, samples = trial.evaluate()
        save_sheet(samples, unfinished / SAMPLES)
        save_pipeline(trial.trainer.network.averaged, best.config, unfinished / PIPELINE)
        (unfinished / "scores.json").write_text(to_json(scores))
    return Trained(scores, splits.digest == best.provenance.get("data_sha256"))
