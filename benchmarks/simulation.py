"""A cluster on a virtual clock: workers that train by looking a learning curve up."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from benchmarks.surrogate import COPIES, OBJECTIVE, Curve, Surrogate

# What an actor costs beside training: taking a trial up, also a paused one, and a report.
START_SECONDS = 1.0
REPORT_SECONDS = 0.05


@dataclass(frozen=True)
class Work:
    """A trial for a free worker."""

    trial: str
    values: Mapping[str, Any]
    reached: int = 0
    """Images seen already, where it was paused."""


class Arm(Protocol):
    """A search as the simulator drives it."""

    rungs: tuple[int, ...]

    def next(self) -> Work | None:
        """Something to run, or None while there is nothing."""

    def report(self, trial: str, images: int, scores: Mapping[str, float], time: float) -> bool:
        """Takes in the scores of a trial at a rung; whether it goes on."""

    def selected(self) -> str | None:
        """The trial that the search would name if it were asked now."""


@dataclass
class Trace:
    """The trial that the arm would have named, each time that it was another one."""

    seconds: list[float] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    value: list[float] = field(default_factory=list)
    """True objective of the selected trial; infinite where the trial truly breaks the bound."""
    trials: int = 0
    images_seen: int = 0


@dataclass(frozen=True)
class Cluster:
    """How many virtual workers, and how many images they may see together."""

    workers: int
    images: int


def simulate(
    arm: Arm, surrogate: Surrogate, cluster: Cluster, bound: float | None, seed: int
) -> Trace:
    """Runs until the cluster's images are seen.

    Args:
        bound: largest true memorised fraction that counts; None counts all.
        seed: luck of the trainings: equal for a trial of the same number in every arm.
    """
    curves: dict[str, Curve] = {}
    at: dict[str, int] = {}
    trace = Trace()
    events: list[tuple[float, int, str]] = []
    idle, order, chosen = cluster.workers, 0, None
    now = 0.0
    marks = np.array(surrogate.milestones)

    def go_on(trial: str, begin: float) -> None:
        nonlocal order
        curve = curves[trial]
        rung = next(r for r in arm.rungs if r > at[trial])
        training = (rung - at[trial]) * curve.seconds_per_image
        order += 1
        finish = begin + training + curve.evaluation_seconds + REPORT_SECONDS
        heapq.heappush(events, (finish, order, trial))

    def take_up() -> None:
        nonlocal idle
        while idle and (work := arm.next()) is not None:
            if work.trial not in curves:
                luck = np.random.default_rng((seed, len(curves)))
                curves[work.trial] = surrogate.draw(work.values, luck)
            at[work.trial] = work.reached
            idle -= 1
            go_on(work.trial, now + START_SECONDS)

    take_up()
    while events and trace.images_seen < cluster.images:
        now, _, trial = heapq.heappop(events)
        rung = next(r for r in arm.rungs if r > at[trial])
        trace.images_seen += rung - at[trial]
        at[trial] = rung
        column = int(np.searchsorted(marks, rung))
        scores = {name: float(curve[column]) for name, curve in curves[trial].scores.items()}
        if arm.report(trial, rung, scores, now) and rung < arm.rungs[-1]:
            go_on(trial, now)
        else:
            idle += 1
        take_up()
        if arm.selected() != chosen:
            chosen = arm.selected()
            assert chosen is not None
            truth = curves[chosen].truth
            feasible = bound is None or truth[COPIES] <= bound
            trace.seconds.append(now)
            trace.images.append(trace.images_seen)
            trace.value.append(truth[OBJECTIVE] if feasible else float("inf"))
    trace.trials = len(curves)
    return trace
