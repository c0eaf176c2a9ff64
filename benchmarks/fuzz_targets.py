"""What is fuzzed: each way in for a file or a text that is not ours, as a function of bytes.

A target reads what it is given as the tool would. It returns where that was read, or refused as
documented; all else that it raises, or that ends the process, is a crash.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args
from unittest.mock import patch

import numpy as np
import torch
import yaml
from diffusers import DDIMScheduler
from PIL import Image
from safetensors.torch import save

from tune_diffreg.data.any_set import real_set
from tune_diffreg.data.decoding import decoded
from tune_diffreg.diffusion import ddim_scheduler, sampling_scheduler
from tune_diffreg.diffusion.model import build_model
from tune_diffreg.diffusion.pipeline import Pipeline
from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.measured import Measured
from tune_diffreg.evaluation.store import kept
from tune_diffreg.jobs.address import storage_options
from tune_diffreg.jobs.logs import as_text
from tune_diffreg.mirror import Mirror, storage_at
from tune_diffreg.observation.live import read_live
from tune_diffreg.observation.status import read_status
from tune_diffreg.observation.stragglers import stragglers
from tune_diffreg.production import as_file, save_pipeline
from tune_diffreg.production.card import model_card
from tune_diffreg.production.export import load_weights
from tune_diffreg.production.narrow import narrow
from tune_diffreg.results import StudyFolder, TrialRecord, read_best, with_settings
from tune_diffreg.results.best_config import best_config
from tune_diffreg.results.compare import compare
from tune_diffreg.results.formats import to_json, to_yaml
from tune_diffreg.results.trials import RungReport
from tune_diffreg.search.checkpoint import LATEST, load_checkpoint
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.secrets import holds_credentials, masked, plain_line
from tune_diffreg.study import Evaluation, Study, read_study
from tune_diffreg.tracking.spool import Spool

STUDY = """
name: small
data: {source: digits, train: 8, validation: 8, test: 8}
model:
  {in_channels: 1, sample_size: 8, block_out_channels: [8], down_block_types: [DownBlock2D],
   up_block_types: [UpBlock2D], layers_per_block: 1, attention_head_dim: 8, norm_num_groups: 4}
training: {batch_size: 8, images: 640, ema: [0.9, 0.99]}
evaluation: {features: digits_cnn, samples: 16, steps: 4}
search:
  trials: 4
  baselines: {plain: {}}
  space:
    regularization.residual_dropout: {low: 0.0, high: 0.5}
    optimizer.weight_decay: {low: 1.0e-4, high: 1.0, log: true}
    optimizer.clip_norm: {choices: [null, 1.0]}
    diffusion.schedule.name: {choices: [linear, hybrid]}
    diffusion.schedule.blend: {low: 0.0, high: 1.0, when: {diffusion.schedule.name: hybrid}}
objective: {metric: fd_digits_cnn, constraints: {memorized_fraction: {max: 0.02}}}
halving: {first_rung: 160, reduction_factor: 2}
confirmation: {finalists: 1, seeds: 2}
"""
_SCORES = {"fd_digits_cnn": 40.0, "memorized_fraction": 0.01, "validation_loss": 0.3}
_SAMPLERS = Evaluation.model_fields["sampler"].annotation
_VALUES = {"regularization.residual_dropout": 0.2, "optimizer.clip_norm": None}


@dataclass(frozen=True)
class Target:
    """One way in.

    Attributes:
        run: reads what it is given; raises on a crash alone.
        seeds: what it is meant to read, to begin with.
        inputs: how many the long run gives it, after what one costs.
    """

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]
    inputs: int


@cache
def _folder() -> Path:
    """Where targets write what they are to read."""
    return Path(tempfile.mkdtemp(prefix="fuzzing-"))


def _file(name: str, content: bytes) -> Path:
    path = _folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@cache
def _study() -> Study:
    return read_study(_file("study.yaml", STUDY.encode()))


@cache
def _best_yaml() -> bytes:
    report = RungReport(640, 3.0, _SCORES, "complete")
    record = TrialRecord("t0001", dict(_VALUES), state="complete", reports=[report])
    content = best_config(_study(), record, {"data_sha256": "ab", "features_sha256": "cd"})
    interval = {"mean": 41.0, "low": 40.0, "high": 42.0}
    content["confirmation"] = {
        "split": "test", "samples": 16, "seeds": 2, "improves": True, "best_baseline": "t0000",
        "scores": {"fd_digits_cnn": interval}, "feasible": True,
    }  # fmt: skip
    return to_yaml(content).encode()


@cache
def _events() -> tuple[dict[str, Any], ...]:
    """A journal of two trials, one of them repeated."""
    start = {"event": "start", "time": 2.0, "baseline": None, "control": False, "proposal": 0}
    report = {"event": "report", "time": 3.0, "seconds": 1.0, "scores": _SCORES}
    repeated = {"event": "repeated", "time": 6.0, "images": 640, "seconds": 1.0, "scores": _SCORES}
    return (
        {"event": "session", "time": 1.0, "provenance": {"data_sha256": "a"}},
        {**start, "trial": "t0000", "values": {}, "baseline": "plain", "proposal": None},
        {**report, "trial": "t0000", "images": 640, "decision": "complete"},
        {"event": "end", "time": 3.5, "trial": "t0000", "state": "complete", "reason": None},
        {**start, "trial": "t0001", "values": _VALUES},
        {**report, "trial": "t0001", "images": 160, "decision": "pause"},
        {"event": "promote", "time": 4.0, "trial": "t0001"},
        {**report, "trial": "t0001", "images": 640, "decision": "complete"},
        {"event": "end", "time": 5.0, "trial": "t0001", "state": "complete", "reason": None},
        *({"event": "repeat", "time": 5.0, "run": f"{t}-s{n}", "trial": t, "number": n}
          for t in ("t0000", "t0001") for n in (1, 2)),
        *({**repeated, "run": f"{t}-s{n}"} for t in ("t0000", "t0001") for n in (1, 2)),
        {"event": "stop", "time": 7.0, "finished": True},
    )  # fmt: skip


@cache
def _study_folder() -> StudyFolder:
    folder = StudyFolder(_folder() / "runs", "small")
    folder.create(_study())
    folder.journal.write_bytes(_lines(*_events()))
    return folder


def _lines(*events: dict[str, Any]) -> bytes:
    return "".join(json.dumps(event) + "\n" for event in events).encode()


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def study_file(content: bytes) -> None:
    """A study file, and what is written of it."""
    try:
        study = read_study(_file("any.yaml", content))
    except InputError:
        return
    written = to_yaml(study.model_dump(mode="json"))
    assert read_study(_file("again.yaml", written.encode())) == study
    to_json(study.model_dump(mode="json"))


def overrides(content: bytes) -> None:
    """`--set`, of a study file and of a best.yaml."""
    text = _text(content)
    with suppress(InputError):
        read_study(_file("study.yaml", STUDY.encode()), [text])
    with suppress(InputError):
        with_settings(_exported(), Path("best.yaml"), [text])


@cache
def _exported() -> Any:
    return read_best(_file("export/best.yaml", _best_yaml()))


def best_file(content: bytes) -> None:
    """An imported best.yaml, and all that commands make of it without training."""
    try:
        best = read_best(_file("any.yaml", content), trusted=True)
    except InputError:
        return
    compare(("a", best), ("b", _exported()))
    to_yaml(best.model_dump(mode="json", by_alias=True))
    model_card(best, loads_in_diffusers=True)
    try:
        follows = narrow(best, Path("best.yaml"), None, None)
    except InputError:
        return
    assert read_study(_file("narrow.yaml", as_file(follows).encode())) == follows


def journal(content: bytes) -> None:
    """A study's journal, as `status --json` reads it."""
    folder = _study_folder()
    folder.journal.write_bytes(content)
    with suppress(InputError):
        to_json(read_status(folder, now=100.0))


def live(content: bytes) -> None:
    """`live.json`."""
    folder = _study_folder()
    folder.live.write_bytes(content)
    found, _ = read_live(folder)
    if found is not None:
        stragglers(found)
        to_json([found.cpu, found.gpu, len(found.devices)])


def spool(content: bytes) -> None:
    """How far MLflow was told, and what it refused: the first byte says which file it is."""
    state = _file("spool/mlflow.json", content if content[:1] != b"r" else b"{}")
    _file("spool/mlflow-refused.jsonl", content[1:] if content[:1] == b"r" else b"")
    found = Spool(_file("spool/journal.jsonl", _lines(*_events())), state)
    assert found.waiting() >= 0
    assert found.owed() >= 0
    assert found.refused() >= 0


def log_line(content: bytes) -> None:
    """A line of the log, as `logs` shows it."""
    assert as_text(_text(content)).isprintable()


def proposals(content: bytes) -> None:
    """Optuna's journal."""
    path = _file("optuna.jsonl", content)
    with suppress(InputError):
        Proposals(_study(), path, set()).ask()


def checkpoint(content: bytes) -> None:
    """A checkpoint whose checksum is right, and one whose checksum is not."""
    sealed = content + hashlib.sha256(content).digest()
    for name, whole in (("a", sealed), ("b", content)):
        load_checkpoint(_file(f"trial-{name}/{LATEST}", whole).parent)


def weights(content: bytes) -> None:
    """The weights of a model, in safetensors."""
    with suppress(InputError):
        load_weights(_model(), _file("model.safetensors", content))


@cache
def _model() -> Any:
    return build_model(_study().model, seed=0)


def reference(content: bytes) -> None:
    """A reference that is kept in the storage folder: made anew if it is damaged."""
    sealed = content + hashlib.sha256(content).digest()
    kept(_file("reference.safetensors", sealed), _measured)


def _measured() -> Measured:
    return Measured(torch.zeros(8, 2), torch.zeros(8), None, None)


def arrays(content: bytes) -> None:
    """An .npz file of images, which is a zip file that holds a .npy file."""
    with suppress(InputError):
        real_set(str(_file("any.npz", content)), None)


def member(content: bytes) -> None:
    """The .npy file in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("arr_0.npy", content)
    arrays(buffer.getvalue())


def images(content: bytes) -> None:
    """An image of any format."""
    path = _file("any.png", content)
    for channels in (1, 3):
        with suppress(OSError, ValueError):  # which the readers of folders make one sentence
            decoded(path, channels)


def addresses(content: bytes) -> None:
    """Addresses of storages; nothing is connected to, and copies are kept where all else is."""
    text = _text(content)
    alone = patch.object(Mirror, "check", _unasked)
    here = patch.dict(os.environ, {"XDG_CACHE_HOME": str(_folder())})
    for read in (storage_at, storage_options):
        try:
            with alone, here:
                read(text)
        except InputError as refused:
            plain_line(str(refused))


def credentials(content: bytes) -> None:
    """Any text that is shown: masked once is masked, and printable."""
    text = _text(content)
    holds_credentials(text)
    once = masked(text, {})
    assert masked(once, {}) == once
    assert plain_line(text).isprintable()


def pipeline(content: bytes) -> None:
    """The configuration of an imported pipeline's network."""
    _generate("unet/config.json", content, ("ddim",))


def scheduler(content: bytes) -> None:
    """That of its sampler, of which each sampler reads other values."""
    _generate("scheduler/scheduler_config.json", content, get_args(_SAMPLERS))


def _generate(file: str, content: bytes, samplers: tuple[str, ...]) -> None:
    """What `evaluate` does with a pipeline one of whose files has that content."""
    folder = _folder() / f"pipeline with another {Path(file).stem}"
    if not folder.exists():
        save_pipeline(_model(), _exported().config, folder)
    (folder / file).write_bytes(content)
    try:
        found = Pipeline(folder)
    except InputError:
        return
    for sampler in samplers:
        if found.shape == (1, 8, 8):  # others are refused, being of no use for those images
            with suppress(InputError):
                found.generate(1, sampler, 4)


def _image(kind: str, mode: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def _saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def _array(compressed: bool) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, np.zeros((2, 4, 4, 3), np.uint8))
    return buffer.getvalue()


def _npy(dtype: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 4, 4), dtype))
    return buffer.getvalue()


def _optuna() -> bytes:
    path = _folder() / "optuna.jsonl"
    path.unlink(missing_ok=True)
    search = Proposals(_study(), path, set())
    for _ in range(2):
        number = search.ask().number
        search.report(number, 160, 40.0)
        search.tell(number, "complete", 40.0, {"memorized_fraction": 0.0})
    search.ask()
    return path.read_bytes()


def _unet_config(**changes: Any) -> bytes:
    return json.dumps({**_model().config, **changes}).encode()


def _sized() -> tuple[bytes, ...]:
    """Sizes of images as pipelines have them, and as a file may have them all the same."""
    return tuple(_unet_config(sample_size=size) for size in (8.0, [8], [8, 8], True, None))


def _scheduler_configs() -> tuple[bytes, ...]:
    ddim = ddim_scheduler(_exported().config.diffusion)
    found = [sampling_scheduler(sampler, ddim) for sampler in get_args(_SAMPLERS)]
    short = DDIMScheduler(10)  # whose betas are made from numbers in the file
    return tuple(json.dumps(dict(each.config)).encode() for each in (short, *found))


_LIVE = {
    "time": 90.0, "study": "small", "state": "running", "host": "a", "pid": 1,
    "trials": {"running": 1},
    "images_per_second": 5.0, "longest_pause_s": 1.0, "waiting": 2,
    "running": [{"trial": "t0001", "images": 5, "silent_s": 100.0, "images_per_second": 2.0,
                 "cpu": 0.5, "device": "0", "gpu": 0.5, "host": "a", "pid": 2}],
}  # fmt: skip
_TURNED = bytes.fromhex("457869660000 49492a0008000000 0100 1201 0300 01000000 06000000 00000000")
_LOG = {"time": "2026-01-01T00:00:00.000Z", "level": "warning", "trial": "t0001", "message": "m"}


def _unasked(_: Mirror) -> None:
    """Asks no storage whether it is there."""


@cache
def targets() -> dict[str, Target]:
    """All of them, by name."""
    tensors = {name: tensor.clone() for name, tensor in _model().state_dict().items()}
    kept_tensors = {"features": torch.zeros(8, 2), "radii": torch.zeros(8)}
    pictures = [
        _image("PNG", "RGB"), _image("PNG", "L"), _image("PNG", "P"), _image("PNG", "I;16"),
        _image("PNG", "RGBA"), _image("JPEG", "RGB"), _image("JPEG", "L"), _image("JPEG", "CMYK"),
        _image("JPEG", "RGB", exif=_TURNED),
        _image("GIF", "P"), _image("WEBP", "RGB"), _image("WEBP", "RGBA", lossless=True),
    ]  # fmt: skip
    state = {"trainer": {"weights": torch.zeros(3), "images_seen": 5}, "seconds": 1.0}
    whole = STUDY.encode()
    flow = yaml.safe_dump(yaml.safe_load(STUDY), default_flow_style=True).encode()
    return {
        "study file": Target(study_file, (whole, flow), 12_000),
        "--set": Target(
            overrides,
            (b"search.trials=40", b"search.space={optimizer.clip_norm: {choices: [1, null]}}",
             b"tracking.uri='http://host'", b"training.ema=[0.9, 0.99]", b"confirmation=null"),
            10_000,
        ),
        "best.yaml": Target(best_file, (_best_yaml(),), 10_000),
        "journal": Target(journal, (_lines(*_events()), _lines(*_events()[:7])), 12_000),
        "optuna's journal": Target(proposals, (_optuna(),), 4_000),
        "live.json": Target(live, (json.dumps(_LIVE).encode(),), 12_000),
        "mlflow.json": Target(
            spool,
            (b'{"records": 5, "files": 3, "results": 0}',
             b"r" + _lines({"event": "refused", "time": 1.0, "run": "a", "what": "b",
                            "reason": "c"})),
            10_000,
        ),
        "log line": Target(log_line, (json.dumps(_LOG).encode(),), 10_000),
        "checkpoint": Target(checkpoint, (_saved(state), _saved({})), 8_000),
        "safetensors: weights": Target(weights, (save(tensors),), 6_000),
        "safetensors: reference": Target(reference, (save(kept_tensors),), 8_000),
        "npz archive": Target(arrays, (_array(False), _array(True)), 12_000),
        "npy array": Target(member, (_npy(np.uint8), _npy(float)), 10_000),
        "image": Target(images, tuple(pictures), 15_000),
        "storage address": Target(
            addresses,
            (b"s3://bucket/folder?region=x", b"file:///tmp/x", b"gs://a", b"runs", b"s3://k:s@b/c"),
            10_000,
        ),
        "credentials in text": Target(
            credentials,
            (b"at http://u:p@h:5000/x?token=a&y", b"AccountKey=a;x", b'{"password": "x"}',
             b"Authorization: Bearer abcdefghijklmnopqrstuvwxyz"),
            10_000,
        ),
        "pipeline config": Target(pipeline, (_unet_config(), *_sized()), 1_500),
        "scheduler config": Target(scheduler, _scheduler_configs(), 1_500),
    }  # fmt: skip
