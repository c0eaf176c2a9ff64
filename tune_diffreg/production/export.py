"""A trial as files: `best.yaml`, and a pipeline folder that plain diffusers loads."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from diffusers import DDPMPipeline, UNet2DModel
from PIL.PngImagePlugin import PngImageFile
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import nn

from tune_diffreg.diffusion.model import build_model
from tune_diffreg.errors import InputError
from tune_diffreg.factory import in_a_line
from tune_diffreg.files import check_new, read_picture, write_atomically
from tune_diffreg.production.card import model_card
from tune_diffreg.production.job import Job
from tune_diffreg.production.sampler import exported_scheduler
from tune_diffreg.results import Best, StudyFolder, read_choice, trained, versions
from tune_diffreg.results.folder import PAIRS, SAMPLES
from tune_diffreg.results.formats import to_json, to_yaml
from tune_diffreg.search.trial import MODEL
from tune_diffreg.search.weights import read_weights
from tune_diffreg.study import TrialConfig

PIPELINE = "pipeline"


def export(folder: StudyFolder, output: Path, trial: str | None = None) -> Best:
    """Writes the chosen trial of a study to `output`, or another one, whole or not at all.

    Raises:
        InputError: there is no such trial of full length, its files are damaged, or `output` is in
            use.
    """
    best = read_choice(folder, trial)
    for name in (MODEL, SAMPLES, PAIRS):
        folder.of_trial(best.trial_id, name)
    with new_folder(output) as unfinished:
        _fill(unfinished, best, folder.trial(best.trial_id))
    return best


def fill(folder: Path, job: Job) -> None:
    """Writes what a finished training leaves: an export, and how its scores went."""
    history = job.scores()
    scores = history[max(history)]
    best = trained(job.best, scores, {**job.origin(), **versions()})
    _fill(folder, best, job.folder)
    rows = [{"images": images, **found} for images, found in history.items()]
    write_atomically(folder / "history.csv", pd.DataFrame(rows).to_csv(index=False))
    write_atomically(folder / "scores.json", to_json(scores))


def _fill(folder: Path, best: Best, source: Path) -> None:
    """An export of the averaged weights and the sheets that lie in `source`."""
    model = build_model(best.config.model, best.config.training.seed)
    load_weights(model, source / MODEL)
    content = best.model_dump(mode="json", by_alias=True)
    write_atomically(folder / "best.yaml", to_yaml(content))
    write_atomically(folder / "README.md", model_card(best, isinstance(model, UNet2DModel)))
    save_pipeline(model, best.config, folder / PIPELINE)
    for sheet in (source / SAMPLES, source / PAIRS):
        if sheet.exists():
            (folder / sheet.name).write_bytes(_whole_picture(sheet))


def _whole_picture(path: Path) -> bytes:
    """A PNG file, as it is, after every byte of it was looked at.

    Raises:
        InputError: it cannot be read, or is damaged.
    """
    content = read_picture(path)
    try:
        for look in (PngImageFile.verify, PngImageFile.load):  # checksums, then pixels
            look(PngImageFile(io.BytesIO(content)))
    except Exception as error:  # Pillow raises many kinds on damage
        raise InputError(f"{path}: is damaged: {in_a_line(error)}") from None
    return content


def load_weights(model: nn.Module, weights: Path) -> None:
    """Gives `model` the weights in a safetensors file.

    Raises:
        InputError: the file is missing, damaged, or of another model.
    """
    try:
        found = read_weights(weights)
        model.load_state_dict(found)
    except RuntimeError:
        raise InputError(
            f"{weights}: does not fit the model that best.yaml describes; has its factory changed?"
        ) from None
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"{weights}: cannot be used ({reason})") from None
    broken = [name for name, tensor in found.items() if not tensor.isfinite().all()]
    if broken:
        raise InputError(f"{weights}: cannot be used ({broken[0]} holds what is no number)")


def save_pipeline(model: nn.Module, config: TrialConfig, path: Path) -> None:
    """A diffusers pipeline with the averaged weights and, where it can run it, the sampler that
    they were scored with.

    There is no pipeline for a model of one's own: its folder holds `model.safetensors`, for the
    module that its factory makes, and the scheduler.
    """
    scheduler = exported_scheduler(config)
    if isinstance(model, UNet2DModel):
        DDPMPipeline(unet=model, scheduler=scheduler).save_pretrained(path)
        return
    scheduler.save_pretrained(path / "scheduler")
    save_model(model, str(path / MODEL))


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill beside `path`, which takes that name when it is filled.

    Raises:
        InputError: `path` exists and holds something, or cannot be made.
    """
    path = path.resolve()
    check_new(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror})") from None
    try:
        yield unfinished
        unfinished.chmod(0o755)
        for file in unfinished.rglob("*.safetensors"):
            file.chmod(0o644)  # others may read these as they may all else
        unfinished.replace(path)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
