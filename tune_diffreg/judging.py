"""Scores any images against any real ones, by the code that scores trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from tune_diffreg.data import load_splits
from tune_diffreg.data.any_set import generated_set, real_set
from tune_diffreg.data.image_folder import Progress
from tune_diffreg.diffusion.device import any_device
from tune_diffreg.diffusion.pipeline import OwnPipeline, Pipeline
from tune_diffreg.errors import InputError, explain
from tune_diffreg.evaluation import Measured, Reference, distinct, load_extractor
from tune_diffreg.files import user_path
from tune_diffreg.images import Images
from tune_diffreg.production.export import PIPELINE
from tune_diffreg.results import Best, read_best
from tune_diffreg.search.trial import MODEL
from tune_diffreg.study import Evaluation, TrialConfig, read_study

_STUDY = (".yaml", ".yml")


@dataclass(frozen=True)
class Request:
    """What is to be scored against what.

    Attributes:
        images: a folder of images, an .npz file, a pipeline folder, or what `export` wrote.
        against: real images: `digits`, a folder, an .npz file, CIFAR-10's folder, or a study file
            or best.yaml, of which the split is taken; of an export its own study if None.
        train: training images likewise; of a study or export its own if None. Without any, copies
            are not looked for.
        split: of a study: validation or test.
        size: side of the real images of a folder; that of the first one if None.
        samples: generated from a pipeline, or taken of the images; all, or as the study says, if
            None.
        evaluation: settings that stand in for those of the study.
        trusted: whether code that a best.yaml names may be run.
    """

    images: str
    against: str | None = None
    train: str | None = None
    split: str = "validation"
    size: int | None = None
    samples: int | None = None
    evaluation: tuple[tuple[str, Any], ...] = ()
    trusted: bool = False


def judge(
    request: Request, progress: Progress | None = None, measuring: Progress | None = None
) -> dict[str, Any]:
    """The scores, and what they were taken with.

    Args:
        progress: called with (images read, images in all).
        measuring: called with (real images that features are known of, images in all).

    Raises:
        InputError: something is not there, does not fit, or cannot be scored.
    """
    best = _exported(user_path(request.images), request.trusted)
    config = _config(request, best)
    evaluation = _evaluation(request, config)
    real, train = _real(request, config, progress)
    shape = (int(real.shape[1]), int(real.shape[2]), int(real.shape[3]))
    generated = _generated(request, best, evaluation, shape, progress)
    if len(generated) > 1 and len(distinct(generated)) == 1:  # a trial that does so is a finding
        raise InputError(f"{request.images}: all {len(generated):,} images are equal")
    extractor = load_extractor(evaluation)
    space = evaluation.neighbors
    device = any_device()
    extractor.to(device)
    measured = Measured.of(real, train, extractor, space, measuring)
    reference = Reference(torch.Size(shape), train, extractor, measured)
    reference.to(device)
    copies = reference.copies
    return {
        "images": len(generated),
        "against": len(real),
        "train": None if train is None else len(train),
        "features": extractor.name,
        "features_sha256": extractor.digest,
        "neighbors": space,
        "floor": reference.floor(len(generated))._asdict(),
        "duplicates": copies and copies.doubles,
        "near_copies": copies and copies.near_copies,
        "scores": reference.score(generated),
    }


def _exported(path: Path, trusted: bool) -> Best | None:
    file = path / "best.yaml"
    return read_best(file, trusted) if file.is_file() else None


def _config(request: Request, best: Best | None) -> TrialConfig | None:
    """The study whose splits are taken, if one is named."""
    if request.against is None:
        if best is None:
            raise InputError("--against: name the real images; only an export knows its own")
        return best.config
    path = user_path(request.against)
    if path.suffix not in _STUDY:
        return None
    if path.name == "best.yaml":
        return read_best(path, request.trusted).config
    return read_study(path)


def _evaluation(request: Request, config: TrialConfig | None) -> Evaluation:
    """The study's settings, or plain ones, with those that were asked for."""
    settings: dict[str, Any] = {"features": "inception"}
    if config is not None:
        settings = config.evaluation.model_dump()
    elif request.against == "digits":
        settings = {"features": "digits_cnn"}
    settings |= dict(request.evaluation)
    if isinstance(settings["features"], str) and ":" in settings["features"]:
        settings["features"] = {"factory": settings["features"]}
    try:
        return Evaluation.model_validate(settings)
    except ValidationError as error:
        raise InputError(f"--{explain(error)}") from None


def _real(
    request: Request, config: TrialConfig | None, progress: Progress | None
) -> tuple[Images, Images | None]:
    train = None
    if request.train is not None:
        train = real_set(request.train, request.size, progress)
    if config is not None:
        splits = load_splits(config.data, config.model, progress)
        real = getattr(splits, request.split)
        train = splits.train if train is None else train
    else:
        assert request.against is not None
        real = real_set(request.against, request.size, progress)
    if train is not None and train.shape[1:] != real.shape[1:]:
        found, needed = ("x".join(map(str, images.shape[1:])) for images in (train, real))
        raise InputError(f"--train: the images are {found}, but the real ones are {needed}; --size")
    return real, train


def _generated(
    request: Request,
    best: Best | None,
    evaluation: Evaluation,
    shape: tuple[int, int, int],
    progress: Progress | None,
) -> torch.Tensor:
    path = user_path(request.images)
    folder = path / PIPELINE if (path / PIPELINE).is_dir() else path
    plain = (folder / "model_index.json").is_file()
    if best is not None or plain:
        count = request.samples or evaluation.samples
        own = None if plain or best is None or best.config.model.factory is None else best.config
        pipeline = Pipeline(folder) if own is None else OwnPipeline(own, folder / MODEL)
        if pipeline.shape != shape:
            given, needed = ("x".join(map(str, size)) for size in (pipeline.shape, shape))
            raise InputError(
                f"{folder}: generates images of {given}, but those of the reference are {needed}"
            )
        return pipeline.generate(count, evaluation.sampler, evaluation.steps, evaluation.latents)
    images = generated_set(request.images, shape, progress)
    if request.samples is not None and request.samples > len(images):
        raise InputError(f"--samples {request.samples}: there are {len(images)} images")
    return images[: request.samples]
