"""What is fuzzed: each way in for a file or a text that is not ours, as a function of bytes.

A target reads what it is given as the tool would. It returns where that was read, or refused as
documented; all else that it raises, or that ends the process, is a crash.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import get_args
from unittest.mock import patch

import numpy as np
import torch
import yaml
from safetensors.torch import save

from benchmarks import fuzz_examples as examples
from tune_diffreg.data.any_set import real_set
from tune_diffreg.data.decoding import decoded
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
from tune_diffreg.results import read_best, with_settings
from tune_diffreg.results.compare import compare
from tune_diffreg.results.formats import to_json, to_yaml
from tune_diffreg.search.checkpoint import LATEST, load_checkpoint
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.secrets import holds_credentials, masked, plain_line
from tune_diffreg.study import read_study
from tune_diffreg.tracking.spool import Spool


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


def _text(content: bytes) -> str:
    return content.decode(errors="replace")


def study_file(content: bytes) -> None:
    """A study file, and what is written of it."""
    try:
        study = read_study(examples.file("any.yaml", content))
    except InputError:
        return
    written = to_yaml(study.model_dump(mode="json"))
    assert read_study(examples.file("again.yaml", written.encode())) == study
    to_json(study.model_dump(mode="json"))


def overrides(content: bytes) -> None:
    """`--set`, of a study file and of a best.yaml."""
    text = _text(content)
    with suppress(InputError):
        read_study(examples.file("study.yaml", examples.STUDY.encode()), [text])
    with suppress(InputError):
        with_settings(examples.exported(), Path("best.yaml"), [text])


def best_file(content: bytes) -> None:
    """An imported best.yaml, and all that commands make of it without training."""
    try:
        best = read_best(examples.file("any.yaml", content), trusted=True)
    except InputError:
        return
    compare(("a", best), ("b", examples.exported()))
    to_yaml(best.model_dump(mode="json", by_alias=True))
    model_card(best, loads_in_diffusers=True)
    try:
        follows = narrow(best, Path("best.yaml"), None, None)
    except InputError:
        return
    assert read_study(examples.file("narrow.yaml", as_file(follows).encode())) == follows


def journal(content: bytes) -> None:
    """A study's journal, as `status --json` reads it."""
    folder = examples.study_folder()
    folder.journal.write_bytes(content)
    with suppress(InputError):
        to_json(read_status(folder, now=100.0))


def live(content: bytes) -> None:
    """`live.json`."""
    folder = examples.study_folder()
    folder.live.write_bytes(content)
    found, _ = read_live(folder)
    if found is not None:
        stragglers(found)
        to_json([found.cpu, found.gpu, len(found.devices)])


def spool(content: bytes) -> None:
    """How far MLflow was told, and what it refused: the first byte says which file it is."""
    state = examples.file("spool/mlflow.json", content if content[:1] != b"r" else b"{}")
    examples.file("spool/mlflow-refused.jsonl", content[1:] if content[:1] == b"r" else b"")
    found = Spool(
        examples.file("spool/journal.jsonl", examples.as_lines(*examples.events())), state
    )
    assert found.waiting() >= 0
    assert found.owed() >= 0
    assert found.refused() >= 0


def log_line(content: bytes) -> None:
    """A line of the log, as `logs` shows it."""
    assert as_text(_text(content)).isprintable()


def proposals(content: bytes) -> None:
    """Optuna's journal."""
    path = examples.file("optuna.jsonl", content)
    with suppress(InputError):
        Proposals(examples.study(), path, set()).ask()


def checkpoint(content: bytes) -> None:
    """A checkpoint whose checksum is right, and one whose checksum is not."""
    sealed = content + hashlib.sha256(content).digest()
    for name, whole in (("a", sealed), ("b", content)):
        load_checkpoint(examples.file(f"trial-{name}/{LATEST}", whole).parent)


def weights(content: bytes) -> None:
    """The weights of a model, in safetensors."""
    with suppress(InputError):
        load_weights(examples.model(), examples.file("model.safetensors", content))


def reference(content: bytes) -> None:
    """A reference that is kept in the storage folder: made anew if it is damaged."""
    sealed = content + hashlib.sha256(content).digest()
    kept(examples.file("reference.safetensors", sealed), _measured)


def _measured() -> Measured:
    return Measured(torch.zeros(8, 2), torch.zeros(8), None, None)


def arrays(content: bytes) -> None:
    """An .npz file of images, which is a zip file that holds a .npy file."""
    with suppress(InputError):
        real_set(str(examples.file("any.npz", content)), None)


def member(content: bytes) -> None:
    """The .npy file in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("arr_0.npy", content)
    arrays(buffer.getvalue())


def images(content: bytes) -> None:
    """An image of any format."""
    path = examples.file("any.png", content)
    for channels in (1, 3):
        with suppress(OSError, ValueError):  # which the readers of folders make one sentence
            decoded(path, channels)


def addresses(content: bytes) -> None:
    """Addresses of storages; nothing is connected to, and copies are kept where all else is."""
    text = _text(content)
    alone = patch.object(Mirror, "check", _unasked)
    here = patch.dict(os.environ, {"XDG_CACHE_HOME": str(examples.folder())})
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
    _generate("scheduler/scheduler_config.json", content, get_args(examples.SAMPLERS))


def _generate(file: str, content: bytes, samplers: tuple[str, ...]) -> None:
    """What `evaluate` does with a pipeline one of whose files has that content."""
    folder = examples.folder() / f"pipeline with another {Path(file).stem}"
    if not folder.exists():
        save_pipeline(examples.model(), examples.exported().config, folder)
    (folder / file).write_bytes(content)
    try:
        found = Pipeline(folder)
    except InputError:
        return
    for sampler in samplers:
        if found.shape == (1, 8, 8):  # others are refused, being of no use for those images
            with suppress(InputError):
                found.generate(1, sampler, 4)


def _unasked(_: Mirror) -> None:
    """Asks no storage whether it is there."""


@cache
def targets() -> dict[str, Target]:
    """All of them, by name."""
    tensors = {name: tensor.clone() for name, tensor in examples.model().state_dict().items()}
    kept_tensors = {"features": torch.zeros(8, 2), "radii": torch.zeros(8)}
    state = {"trainer": {"weights": torch.zeros(3), "images_seen": 5}, "seconds": 1.0}
    whole = examples.STUDY.encode()
    done = examples.events()
    flow = yaml.safe_dump(yaml.safe_load(examples.STUDY), default_flow_style=True).encode()
    return {
        "study file": Target(study_file, (whole, flow), 12_000),
        "--set": Target(
            overrides,
            (b"search.trials=40", b"search.space={optimizer.clip_norm: {choices: [1, null]}}",
             b"search.space.optimizer.weight_decay.low=0.1", b"tracking.uri='http://host'",
             b"training.ema=[0.9, 0.99]", b"confirmation=null"),
            10_000,
        ),
        "best.yaml": Target(best_file, (examples.best_yaml(),), 10_000),
        "journal": Target(
            journal, tuple(examples.as_lines(*events) for events in (done, done[:7])), 12_000
        ),
        "optuna's journal": Target(proposals, (examples.optuna_journal(),), 4_000),
        "live.json": Target(live, (json.dumps(examples.LIVE).encode(),), 12_000),
        "mlflow.json": Target(
            spool,
            (b'{"records": 5, "files": 3, "results": 0}',
             b"r" + examples.as_lines({"event": "refused", "time": 1.0, "run": "a", "what": "b",
                            "reason": "c"})),
            10_000,
        ),
        "log line": Target(log_line, (json.dumps(examples.LOG).encode(),), 10_000),
        "checkpoint": Target(checkpoint, (examples.saved(state), examples.saved({})), 8_000),
        "safetensors: weights": Target(weights, (save(tensors),), 6_000),
        "safetensors: reference": Target(reference, (save(kept_tensors),), 8_000),
        "npz archive": Target(arrays, (examples.archive(False), examples.archive(True)), 12_000),
        "npy array": Target(member, (examples.array(np.uint8), examples.array(float)), 10_000),
        "image": Target(images, examples.pictures(), 15_000),
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
        "pipeline config": Target(
            pipeline, (examples.unet_config(), *examples.sized_configs()), 1_500
        ),
        "scheduler config": Target(scheduler, examples.scheduler_configs(), 1_500),
    }  # fmt: skip
