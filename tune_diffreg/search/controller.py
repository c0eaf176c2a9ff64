"""Runs a study's search on Ray Tune, from start or from where it stopped."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from tune_diffreg.data import Splits
from tune_diffreg.data.image_folder import Progress
from tune_diffreg.diffusion import check_models
from tune_diffreg.errors import InputError
from tune_diffreg.evaluation import LEAST_IMAGES, near_copies
from tune_diffreg.files import check_writable
from tune_diffreg.mirror import address_of, mirror_of
from tune_diffreg.patience import Patience
from tune_diffreg.results import (
    StudyFolder,
    final_state,
    read_journal,
    repetitions,
    replay,
    summarize,
    versions,
    write_results,
)
from tune_diffreg.results.folder import REAL
from tune_diffreg.results.journal import Event
from tune_diffreg.results.provenance import first_provenance, study_sha256
from tune_diffreg.results.summary import first_floor
from tune_diffreg.search.checkpoint import remove_checkpoints, remove_leftovers
from tune_diffreg.search.cluster import needs_of, ray_cluster, trial_slots
from tune_diffreg.search.conductor import Conductor
from tune_diffreg.search.confirmation import Confirmation
from tune_diffreg.search.coordinator import Coordinator, Listener
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.search.sheets import save_sheet
from tune_diffreg.search.trial import Materials, load_materials, materials_of
from tune_diffreg.study import Study


@dataclass(frozen=True)
class Preparation:
    """What has to be there before a search can start; making it finds most mistakes."""

    splits: Splits
    materials: Materials
    provenance: dict[str, str]
    duplicates: dict[str, int]
    near_copies: dict[str, int]
    """Held-out images, by split, that would count as copies of a training image."""


@dataclass(frozen=True)
class Session:
    """What one process has to do of a study, where, and how long it waits for its storage.

    Attributes:
        address: of the Ray cluster; None is one of its own on this machine.
    """

    study: Study
    folder: StudyFolder
    patience: Patience
    address: str | None = None


def prepare(
    study: Study,
    progress: Progress | None = None,
    references: Path | None = None,
    measuring: Progress | None = None,
) -> Preparation:
    """Loads the data and the reference; starts nothing.

    Args:
        progress: called with (images read, images in all).
        references: folder in which references are kept; None keeps none.
        measuring: called with (images that the reference knows of, images in all).

    Raises:
        InputError: the data or the extractor's weights cannot be used, or a split is too small.
    """
    resources = study.resources
    check_models(study.networks(), resources.memory if resources.gpu == 0 else None)
    splits, materials = load_materials(study, study.resources.cpu, progress, references, measuring)
    if study.confirmation is not None and len(splits.test) < LEAST_IMAGES:
        raise InputError(
            f"data.test: confirmation needs {LEAST_IMAGES} test images; there are "
            f"{len(splits.test)} (or leave it out with confirmation: null)"
        )
    extractor = materials.reference.extractor
    provenance = {
        "data_sha256": splits.digest,
        "features": extractor.name,
        "features_sha256": extractor.digest,
        "study_sha256": study_sha256(study),
        **versions(),
    }
    near = {"validation": materials.copies.near_copies}
    if study.confirmation is not None:
        near["test"] = near_copies(splits.train, splits.test[:])
    return Preparation(splits, materials, provenance, splits.duplicates(), near)


def run_search(session: Session, preparation: Preparation, listener: Listener) -> dict[str, Any]:
    """Runs until all trials have ended or the process is interrupted; writes the results.

    Returns:
        The content of `summary.json`.

    Raises:
        StorageLost: what could be written is, and the study can be gone on with.
    """
    study, folder, patience = session.study, session.folder, session.patience
    patience(folder.journal.touch)
    patience(lambda: save_sheet(preparation.splits.validation[:64], folder.root / REAL))
    events = read_journal(folder.journal)
    provenance = _same_origin(folder, events, preparation.provenance)
    floor = _floor(events, study, preparation.materials)
    _remove_leftovers(folder)
    listener = _tidying(folder, listener)
    coordinator = Coordinator(
        study,
        folder,
        listener,
        open_proposals=partial(Proposals, patiently=patience),
        patiently=patience,
    )
    coordinator.begin(provenance, floor)
    finished = False
    try:
        if not coordinator.finished:
            _run_on_ray(session, preparation.materials, coordinator)
        if coordinator.finished:
            finished = _confirm(session, preparation, coordinator)
        if patience.lost is not None:
            raise patience.lost
    except BaseException:
        patience.end()  # what is left to write is tried once
        raise
    finally:
        coordinator.close(finished)
        records = coordinator.records
        state = final_state(records.values()) if finished else "interrupted"
        events = read_journal(folder.journal)
        summary = summarize(study, records, events, state)
        patience(lambda: write_results(folder, study, records, summary, provenance))
    return summary


def _confirm(session: Session, preparation: Preparation, coordinator: Coordinator) -> bool:
    """Repeats finalists and baselines on fresh seeds; whether nothing is left to repeat."""
    study, folder, patience = session.study, session.folder, session.patience
    confirmation = Confirmation(
        study, coordinator.journal, coordinator.records, coordinator.listener
    )
    if not confirmation.finished:
        patience(lambda: check_writable(folder.root))
        materials = materials_of(study, preparation.splits, folder.references, confirming=True)
        _run_on_ray(session, materials, confirmation)
    return confirmation.finished


def _same_origin(
    folder: StudyFolder, events: Sequence[Event], now: dict[str, str]
) -> dict[str, str]:
    """What the study was started with, where it was started before.

    Raises:
        InputError: data or features have changed since, so that scores no longer compare.
    """
    if not events:
        return now
    first = first_provenance(events)
    for key in ("data_sha256", "features_sha256"):
        if first.get(key) != now[key]:
            raise InputError(
                f"{folder.root}: the {key.split('_')[0]} are not those that the study was "
                "started with, so its scores would not compare; run it under another name"
            )
    return first


def _floor(events: Sequence[Event], study: Study, materials: Materials) -> dict[str, Any]:
    """What real images score, as it was found when the study was first begun."""
    return first_floor(events) or materials.reference.floor(study.evaluation.samples)._asdict()


def _run_on_ray(
    session: Session, materials: Materials, coordinator: Coordinator | Confirmation
) -> None:
    study, folder, patience = session.study, session.folder, session.patience
    patience(lambda: check_writable(folder.root))  # Ray writes a little there at its start
    with ray_cluster(session.address), _scratch(folder) as scratch:
        from ray import tune

        from tune_diffreg.search.actor import Shared, TrialActor
        from tune_diffreg.search.adapters import CoordinatedScheduler, CoordinatedSearcher
        from tune_diffreg.search.processes import Watch, cause_of_death, deaths_of_all_kinds

        conductor = Conductor(coordinator, patience, study.resources, cause_of_death)
        confirming = isinstance(coordinator, Confirmation)
        rungs = (study.training.images,) if confirming else study.rungs()
        shared = Shared(
            materials,
            rungs,
            study.name,
            address_of(folder.storage.resolve()),
            study.resources,
            keeps_models=not confirming,
        )
        trainable = tune.with_resources(
            tune.with_parameters(TrialActor, shared=shared), needs_of(study)
        )
        # With a searcher of one's own, Ray starts one actor at a time unless told otherwise.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(study.search.trials)
        tuner = tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=CoordinatedSearcher(conductor, trial_slots(study, session.address)),
                scheduler=CoordinatedScheduler(conductor),
                num_samples=-1,  # the searcher says when it is finished
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=study.name,
                **scratch,
                verbose=0,
                callbacks=[Watch(conductor)],
            ),
        )
        with deaths_of_all_kinds(), _graceful_signals(conductor.interrupt):  # after Ray's own
            tuner.fit()


@contextmanager
def _scratch(folder: StudyFolder) -> Iterator[dict[str, Any]]:
    """Where Ray may write what nobody reads, on all machines alike, as it wants to be told."""
    mirror = mirror_of(folder.root)
    if mirror is None:
        path = folder.root.resolve() / ".ray"
        try:
            yield {"storage_path": str(path)}
        finally:
            shutil.rmtree(path, ignore_errors=True)
        return
    files, root = mirror.files()
    there = f"{root}/{folder.name}/.ray"
    try:
        yield {"storage_path": there, "storage_filesystem": files}
    finally:
        with suppress(OSError):
            files.delete_dir(there)


def _remove_leftovers(folder: StudyFolder) -> None:
    """Tidies up after a session that was killed."""
    events = read_journal(folder.journal)
    trials = replay(events).values()
    runs = repetitions(events).values()
    ended = {trial.id for trial in trials if trial.ended}
    ended |= {run.id for run in runs if run.state != "running"}
    with suppress(OSError):  # what stays costs space and nothing else
        remove_leftovers(folder.root, ended)


def _tidying(folder: StudyFolder, listener: Listener) -> Listener:
    """Removes the checkpoints of a trial that has ended, then passes the event on."""

    def tidy(event: dict[str, Any]) -> None:
        done = event["trial"] if event["event"] == "end" else None
        if event["event"] in ("repeated", "repeat_failed"):
            done = event["run"]
        if done is not None:
            with suppress(OSError):  # one that stays costs space and nothing else
                remove_checkpoints(folder.trial(done))
        listener(event)

    return tidy


@contextmanager
def _graceful_signals(interrupt: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks for a clean stop; the second stops at once."""

    def first(number: int, _: FrameType | None) -> None:
        interrupt()
        signal.signal(number, signal.default_int_handler)

    caught = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, first) for number in caught]
    try:
        yield
    finally:
        for number, handler in zip(caught, before, strict=True):
            signal.signal(number, handler)
