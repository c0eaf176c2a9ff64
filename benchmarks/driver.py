"""The driver of one study in front of many simulated trials, on a virtual clock.

All that decides, writes and shows is real: the adapters for Ray, the coordinator, the journal and
Optuna's file on the disk, the display, the observer. Trials train nothing, and Ray is left out. The
driver does one thing at a time, and each takes on the virtual clock what it took on the real one,
so that trials wait for it as they would.
"""

from __future__ import annotations

import heapq
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from rich.console import Console

from benchmarks.curves.measure import STUDY
from tune_diffreg.observation import Observer
from tune_diffreg.patience import Patience
from tune_diffreg.results import StudyFolder
from tune_diffreg.results.journal import Event
from tune_diffreg.search.actor import SLICE_SECONDS
from tune_diffreg.search.adapters import CoordinatedScheduler, CoordinatedSearcher
from tune_diffreg.search.conductor import Conductor, Death
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.study import Study, read_study, scores
from tune_diffreg.terminal import open_display
from tune_diffreg.tracking import study_delivery

# What a trial's process says of itself in every result.
_VITALS = {
    "hostname": "n1", "pid": 1, "images_per_second": 1.0, "cpu": 1.0, "notes": [],
    "machine": "one", "exits": False,
}  # fmt: skip


@dataclass
class Cost:
    """What one kind of work took the driver's thread, each time, in seconds."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


@dataclass
class Costs:
    """What a whole study took the driver."""

    start: Cost = field(default_factory=Cost)
    """To hand a free slot a trial: a proposal, or a promotion."""
    nothing: Cost = field(default_factory=Cost)
    """To find that there is none for it now."""
    rung: Cost = field(default_factory=Cost)
    """To decide on a result at a rung."""
    alive: Cost = field(default_factory=Cost)
    """To take in a result between rungs."""
    waited: list[float] = field(default_factory=list)
    """Virtual seconds from a free slot to the trial started in it, where there was one to start.

    All slots are free at first."""
    seconds: float = 0.0
    """The study on the virtual clock."""


@dataclass
class _Running:
    """A trial that trains: its names for Ray and for us, its rungs to come, images seen."""

    ray_name: str
    name: str
    seconds_per_image: float
    ahead: list[int]
    seen: int


@dataclass(frozen=True)
class Load:
    """What a driver has to do with.

    Attributes:
        slots: trials that run at a time.
        rung_seconds: how long a trial trains to its first rung, more or less.
        seed: of how long each takes.
    """

    slots: int
    rung_seconds: float
    seed: int = 0


class Driver:
    """A study from its beginning to its end."""

    def __init__(
        self,
        study: Study,
        folder: StudyFolder,
        load: Load,
        open_proposals: type[Proposals] = Proposals,
    ) -> None:
        self._study = study
        self._seconds_per_image = load.rung_seconds / study.rungs()[0]
        self._luck = np.random.default_rng(load.seed)
        folder.create(study)
        folder.journal.touch()
        self._display = open_display(study, {}, Console(file=io.StringIO()))
        self._observer = Observer(study, folder, [], study_delivery(study, folder).spool.waiting)
        self.coordinator = Coordinator(study, folder, self._tell, open_proposals=open_proposals)
        self.coordinator.begin({})
        conductor = Conductor(
            self.coordinator, Patience(0.0), study.resources, lambda _: Death.UNKNOWN
        )
        slots = load.slots
        self._searcher = CoordinatedSearcher(conductor, lambda: slots)
        self._scheduler = CoordinatedScheduler(conductor)
        self.costs = Costs()
        self._free = [0.0] * slots
        self._in_vain = 0  # the oldest of them, for which there was no trial when they came free
        self._due: list[tuple[float, int, _Running]] = []
        self._order = 0
        self._now = 0.0  # until when the driver is busy

    def run(self) -> Costs:
        """Until no trial is left."""
        with self._observer:
            self._play()
        self.costs.seconds = self._now
        assert self.coordinator.finished
        self.coordinator.close(finished=True)
        return self.costs

    def _tell(self, event: Event) -> None:
        self._display(event)
        self._observer(event)

    def _play(self) -> None:
        self._fill()
        while self._due:
            due, _, trial = heapq.heappop(self._due)
            self._now = max(self._now, due)
            if self._goes_on(trial):
                self._train(trial)
            else:
                self._searcher.on_trial_complete(trial.ray_name)
                heapq.heappush(self._free, due)
                self._fill()

    def _fill(self) -> None:
        """Starts a trial in every free slot, as long as there is one."""
        while self._free:
            name = f"ray{self._order}"
            found, cost = self._timed(partial(self._searcher.suggest, name))
            if found is None or found == Searcher.FINISHED:
                self._charge(self.costs.nothing, cost)
                self._in_vain = len(self._free)
                return
            self._charge(self.costs.start, cost)
            free = heapq.heappop(self._free)
            if self._in_vain:
                self._in_vain -= 1
            else:
                self.costs.waited.append(self._now - free)
            seen = max(found["reported"], default=0)
            ahead = [rung for rung in self._study.rungs() if rung > seen]
            speed = self._seconds_per_image * float(self._luck.lognormal(sigma=0.3))
            self._train(_Running(name, found["trial_id"], speed, ahead, seen))

    def _train(self, trial: _Running) -> None:
        """Lets it train from now on, for a slice or to its rung if that comes first."""
        slice_images = max(1, int(SLICE_SECONDS / trial.seconds_per_image))
        images = min(trial.ahead[0] - trial.seen, slice_images)
        trial.seen += images
        self._order += 1
        due = self._now + images * trial.seconds_per_image
        heapq.heappush(self._due, (due, self._order, trial))

    def _goes_on(self, trial: _Running) -> bool:
        """Tells the driver what a trial has to say."""
        result: dict[str, Any] = {"images": trial.seen, "seconds": 1.0, **_VITALS}
        at_rung = trial.seen == trial.ahead[0]
        if at_rung:
            trial.ahead.pop(0)
            found = scores_of(self._study, trial.name, trial.seen)
            result |= {"rung": trial.seen, **{f"scores/{k}": v for k, v in found.items()}}
        ray_trial = SimpleNamespace(config={"trial_id": trial.name})
        told, cost = self._timed(partial(self._scheduler.on_trial_result, None, ray_trial, result))
        self._charge(self.costs.rung if at_rung else self.costs.alive, cost)
        return bool(told != TrialScheduler.STOP)

    def _timed(self, work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
        """What it returns, and its CPU and wall seconds; the virtual clock moves by the latter."""
        wall, cpu = time.perf_counter(), time.thread_time()
        found = work()
        cost = time.thread_time() - cpu, time.perf_counter() - wall
        self._now += cost[1]
        return found, cost

    @staticmethod
    def _charge(to: Cost, cost: tuple[float, float]) -> None:
        to.cpu.append(cost[0])
        to.wall.append(cost[1])


def scale_study(trials: int, *settings: str) -> Study:
    """The digits study as it ships, with so many trials and no baselines."""
    alone = ["search.baselines={}", "confirmation=null"]
    return read_study(STUDY, [f"search.trials={trials}", *alone, *settings])


def scores_of(study: Study, trial: str, images: int) -> dict[str, float]:
    """As many numbers as a trial reports: better the longer it trained, and luck."""
    luck = np.random.default_rng((int(trial[1:]), images))
    found = dict.fromkeys(scores.all_of(study.evaluation.feature_name), float(luck.random()))
    found[study.objective.metric] = 40 * float(luck.lognormal()) + 2e4 / images
    found["memorized_fraction"] = 0.03 * float(luck.random())
    return found
