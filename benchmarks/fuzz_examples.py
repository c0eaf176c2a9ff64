"""What the targets of fuzzing are meant to read, from which mutations begin, and where it lies."""

from __future__ import annotations

import io
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from diffusers import DDIMScheduler
from PIL import Image

from tune_diffreg.diffusion import ddim_scheduler, sampling_scheduler
from tune_diffreg.diffusion.model import build_model
from tune_diffreg.results import StudyFolder, TrialRecord, read_best
from tune_diffreg.results.best_config import best_config
from tune_diffreg.results.formats import to_yaml
from tune_diffreg.results.trials import RungReport
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.study import Evaluation, Study, read_study

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
SAMPLERS = Evaluation.model_fields["sampler"].annotation
_VALUES = {"regularization.residual_dropout": 0.2, "optimizer.clip_norm": None}


@cache
def folder() -> Path:
    """Where targets write what they are to read."""
    return Path(tempfile.mkdtemp(prefix="fuzzing-"))


def file(name: str, content: bytes) -> Path:
    path = folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@cache
def study() -> Study:
    return read_study(file("study.yaml", STUDY.encode()))


@cache
def best_yaml() -> bytes:
    report = RungReport(640, 3.0, _SCORES, "complete")
    record = TrialRecord("t0001", dict(_VALUES), state="complete", reports=[report])
    content = best_config(study(), record, {"data_sha256": "ab", "features_sha256": "cd"})
    interval = {"mean": 41.0, "low": 40.0, "high": 42.0}
    content["confirmation"] = {
        "split": "test", "samples": 16, "seeds": 2, "improves": True, "best_baseline": "t0000",
        "scores": {"fd_digits_cnn": interval}, "feasible": True,
    }  # fmt: skip
    return to_yaml(content).encode()


@cache
def events() -> tuple[dict[str, Any], ...]:
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
def study_folder() -> StudyFolder:
    made = StudyFolder(folder() / "runs", "small")
    made.create(study())
    made.journal.write_bytes(as_lines(*events()))
    return made


def as_lines(*objects: dict[str, Any]) -> bytes:
    """JSON, an object a line."""
    return "".join(json.dumps(each) + "\n" for each in objects).encode()


@cache
def exported() -> Any:
    return read_best(file("export/best.yaml", best_yaml()))


@cache
def model() -> Any:
    return build_model(study().model, seed=0)


def _image(kind: str, mode: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(buffer, kind, **options)
    return buffer.getvalue()


def pictures() -> tuple[bytes, ...]:
    """One of each format and mode that is told apart."""
    return (
        _image("PNG", "RGB"), _image("PNG", "L"), _image("PNG", "P"), _image("PNG", "I;16"),
        _image("PNG", "RGBA"), _image("JPEG", "RGB"), _image("JPEG", "L"), _image("JPEG", "CMYK"),
        _image("JPEG", "RGB", exif=_TURNED),
        _image("GIF", "P"), _image("WEBP", "RGB"), _image("WEBP", "RGBA", lossless=True),
    )  # fmt: skip


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def archive(compressed: bool) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, np.zeros((2, 4, 4, 3), np.uint8))
    return buffer.getvalue()


def array(dtype: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((2, 4, 4), dtype))
    return buffer.getvalue()


def optuna_journal() -> bytes:
    path = folder() / "optuna.jsonl"
    path.unlink(missing_ok=True)
    search = Proposals(study(), path, set())
    for _ in range(2):
        number = search.ask().number
        search.report(number, 160, 40.0)
        search.tell(number, "complete", 40.0, {"memorized_fraction": 0.0})
    search.ask()
    return path.read_bytes()


def unet_config(**changes: Any) -> bytes:
    return json.dumps({**model().config, **changes}).encode()


def sized_configs() -> tuple[bytes, ...]:
    """Sizes of images as pipelines have them, and as a file may have them all the same."""
    return tuple(unet_config(sample_size=size) for size in (8.0, [8], [8, 8], True, None))


def scheduler_configs() -> tuple[bytes, ...]:
    ddim = ddim_scheduler(exported().config.diffusion)
    found = [sampling_scheduler(sampler, ddim) for sampler in get_args(SAMPLERS)]
    short = DDIMScheduler(10)  # whose betas are made from numbers in the file
    return tuple(json.dumps(dict(each.config)).encode() for each in (short, *found))


LIVE = {
    "time": 90.0, "study": "small", "state": "running", "host": "a", "pid": 1,
    "trials": {"running": 1},
    "images_per_second": 5.0, "longest_pause_s": 1.0, "waiting": 2,
    "running": [{"trial": "t0001", "images": 5, "silent_s": 100.0, "images_per_second": 2.0,
                 "cpu": 0.5, "device": "0", "gpu": 0.5, "host": "a", "pid": 2}],
}  # fmt: skip
_TURNED = bytes.fromhex("457869660000 49492a0008000000 0100 1201 0300 01000000 06000000 00000000")
LOG = {"time": "2026-01-01T00:00:00.000Z", "level": "warning", "trial": "t0001", "message": "m"}
