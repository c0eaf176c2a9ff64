"""Has Ray Tune run what a search, or its confirmation, decides on."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from tune_diffreg.files import check_writable
from tune_diffreg.mirror import address_of, mirror_of
from tune_diffreg.patience import Patience
from tune_diffreg.results import StudyFolder
from tune_diffreg.search.cluster import needs_of, ray_cluster, trial_slots
from tune_diffreg.search.conductor import Conductor
from tune_diffreg.search.confirmation import Confirmation
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.trial import Materials
from tune_diffreg.study import Study


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


def run_on_ray(
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
