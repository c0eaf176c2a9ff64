"""A real search on real Ray with as many actors as are asked for, none of which trains."""

from __future__ import annotations

import io
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console

from benchmarks.driver import scale_study
from benchmarks.light import MEMORY, WAITED, LightActor, LightShared
from tune_diffreg.observation import Observer
from tune_diffreg.patience import Patience
from tune_diffreg.results import StudyFolder
from tune_diffreg.results.journal import Event
from tune_diffreg.study import Study, scores
from tune_diffreg.terminal import open_display
from tune_diffreg.tracking import study_delivery

_STORE_BYTES = 200 * 2**20  # of Ray's objects; the trials have next to none


def on_ray(actors: int, trials: int, pause: float, scratch: Path) -> dict[str, Any]:
    """A study as the service runs it but for MLflow.

    What is measured begins when all actors run and each has had a trial, and ends with the last
    trial's start.

    Args:
        pause: seconds from one result of a trial to its next.
    """
    import ray

    from tune_diffreg.search import actor, on_ray
    from tune_diffreg.search.controller import run_search
    from tune_diffreg.search.preparation import prepare

    study = scale_study(trials, f"search.concurrent={actors}")
    names = (study.objective.metric, *_others(study))
    gate = scratch / "actors"
    gate.mkdir()
    shared = LightShared(study.rungs(), names, pause, str(gate), actors)
    actor.TrialActor = LightActor  # type: ignore[misc]
    actor.Shared = lambda *_, **__: shared  # type: ignore[assignment,misc]

    # A Ray that believes in as many cores as there are to be actors.
    ray.init = partial(ray.init, num_cpus=actors, object_store_memory=_STORE_BYTES)
    on_ray.trial_slots = lambda *_: lambda: actors  # type: ignore[attr-defined]
    folder = StudyFolder(scratch, study.name)
    folder.create(study)
    preparation = prepare(study)
    display = open_display(study, {}, Console(file=io.StringIO()))
    with Observer(study, folder, [], study_delivery(study, folder).spool.waiting) as observer:
        watch = _Watch(actors, trials, (display, observer))
        run_search(on_ray.Session(study, folder, Patience(0.0)), preparation, watch)
    return watch.measured()


def _others(study: Study) -> list[str]:
    found = scores.all_of(study.evaluation.feature_name)
    return [name for name in found if name != study.objective.metric]


class _Watch:
    """Listens to the events of the search, in the driver's own thread."""

    def __init__(self, actors: int, trials: int, listeners: tuple[Any, ...]) -> None:
        self._actors, self._trials = actors, trials
        self._listeners = listeners
        self._reported: set[str] = set()
        self._started = self._results = 0
        self._begin: tuple[float, float, int] | None = None
        self._end: tuple[float, float, int] | None = None
        self._memory = 0
        self._scores: list[dict[str, float]] = []

    def __call__(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)
        if event["event"] == "start":
            self._started += 1
            if self._started == self._trials:
                self._end = self._now()
                self._memory = psutil.Process().memory_info().rss
        elif event["event"] == "report":
            self._results += 1
            self._reported.add(event["trial"])
            if self._end is None:
                self._scores.append(event["scores"])
            if self._begin is None and len(self._reported) >= self._actors:
                self._begin = self._now()
                self._scores = []

    def _now(self) -> tuple[float, float, int]:
        return time.perf_counter(), time.thread_time(), self._results

    def measured(self) -> dict[str, Any]:
        assert self._begin is not None
        assert self._end is not None
        wall, cpu, results = (
            after - before for after, before in zip(self._end, self._begin, strict=True)
        )
        waited = [found[WAITED] for found in self._scores if found[WAITED] >= 0]
        return {
            "results": results,
            "results_per_second": round(results / wall, 1),
            "busy": round(cpu / wall, 3),
            "cpu_ms_a_result": round(1e3 * cpu / results, 2),
            "waited_ms": round(1e3 * float(np.median(waited))),
            "waited_ms_99": round(1e3 * float(np.percentile(waited, 99))),
            "driver_mb": round(self._memory / 2**20),
            "actor_mb": round(float(np.median([found[MEMORY] for found in self._scores]))),
        }
