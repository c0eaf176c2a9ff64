"""What to do with a trial that reached a rung: asynchronous successive halving.

Li et al. 2020, "A system for massively parallel hyperparameter tuning" (MLSys), in two variants
behind one interface: `Stop` ends a trial that is not in the top 1/reduction_factor of its rung,
`Promote` pauses every trial there and lets the best go on (their algorithm 2). Plain data in, a
decision out; no clock, no randomness, no framework.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Self

Rank = tuple[float, float]
"""(constraint violation, objective): feasible before infeasible, then less is better."""


class Decision(StrEnum):
    CONTINUE = "continue"
    SPARE = "spare"
    """An exempt trial goes on although it is not among the best."""
    PAUSE = "pause"
    PRUNE = "prune"
    COMPLETE = "complete"
    FAIL = "fail"

    @property
    def goes_on(self) -> bool:
        return self in (Decision.CONTINUE, Decision.SPARE)


Entry = tuple[Rank, int, str]
"""A trial at a rung: its rank, how many came there before it, its name. Sorts best first."""


class Rung:
    """The trials that reached one milestone."""

    def __init__(self, images: int) -> None:
        self.images = images
        self._best_first: list[Entry] = []
        self._trials: set[str] = set()

    def __len__(self) -> int:
        return len(self._best_first)

    def __contains__(self, trial: str) -> bool:
        return trial in self._trials

    def add(self, trial: str, rank: Rank) -> Entry:
        entry = (rank, len(self), trial)
        self._trials.add(trial)
        insort(self._best_first, entry)
        return entry

    def place(self, rank: Rank) -> int:
        """How many trials here would be before one that comes now."""
        return self.position((rank, len(self), ""))

    def position(self, entry: Entry) -> int:
        """How many trials here are before it; among equals the earlier is."""
        return bisect_left(self._best_first, entry)

    def entries(self) -> list[Entry]:
        """In the order in which they came."""
        return sorted(self._best_first, key=lambda entry: entry[1])

    def cutoff(self, reduction_factor: int) -> Rank | None:
        """The rank of the top 1/reduction_factor, interpolated as `numpy.percentile` does."""
        if not self._best_first:
            return None
        position = (len(self) - 1) / reduction_factor
        low = int(position)
        better, worse = self._best_first[low][0], self._best_first[min(low + 1, len(self) - 1)][0]
        share = position - low
        violation, value = (b + share * (w - b) for b, w in zip(better, worse, strict=True))
        return violation, value


class Halving(ABC):
    """Compares trials at rungs; one in `reduction_factor` goes on.

    Args:
        rungs: milestones in images seen, rising; the last is the full length.
    """

    def __init__(self, rungs: Sequence[int], reduction_factor: int) -> None:
        self.reduction_factor = reduction_factor
        self.rungs = [Rung(images) for images in rungs]
        self._paused: dict[int, list[Entry]] = {images: [] for images in rungs}  # best first

    def report(self, trial: str, images: int, rank: Rank, exempt: bool = False) -> Decision:
        """Decides on a trial at the highest rung that it has reached, and records it there.

        A trial counts once a rung, and only at the highest one that a late report has reached. A
        rank that is not finite fails it, unrecorded. An `exempt` trial is recorded and goes on.
        One that would be paused and promoted at once goes on.
        """
        if not all(math.isfinite(part) for part in rank):
            return Decision.FAIL
        rung = self._reached(images)
        if rung is None or trial in rung:
            return Decision.CONTINUE  # no rung yet, or the decision was made at its first report
        last = rung is self.rungs[-1]
        decision = Decision.COMPLETE if last else self._decide(rung, rank, exempt)
        self.record(trial, images, rank, decision)
        if decision is Decision.PAUSE and self.promotable() == trial:
            self.release(trial)
            return Decision.CONTINUE
        return decision

    def record(self, trial: str, images: int, rank: Rank, decision: Decision) -> None:
        """Takes in a decision that was made before: how a state is made again from a journal."""
        rung = self._reached(images)
        if rung is not None and trial not in rung:
            entry = rung.add(trial, rank)
            if decision is Decision.PAUSE:
                insort(self._paused[rung.images], entry)

    @abstractmethod
    def _decide(self, rung: Rung, rank: Rank, exempt: bool) -> Decision:
        """What becomes of a trial that is about to be recorded at a rung below the last."""

    def promotable(self, closing: bool = False) -> str | None:
        """The paused trial that should go on now, if there is one.

        It is the best one of the highest rung that has one in its top 1/reduction_factor.

        Args:
            closing: nothing runs and nothing will start. If no trial has reached full length, the
                best paused one is then let go on, since a search without an answer is of no use.
        """
        waiting = [(r, self._paused[r.images]) for r in reversed(self.rungs)]
        for rung, paused in waiting:
            if paused and rung.position(paused[0]) < len(rung) // self.reduction_factor:
                return paused[0][2]
        if closing and not len(self.rungs[-1]):
            return next((paused[0][2] for _, paused in waiting if paused), None)
        return None

    def release(self, trial: str) -> None:
        """Takes a trial out of the paused: it goes on, or has ended."""
        for paused in self._paused.values():
            paused[:] = [entry for entry in paused if entry[2] != trial]

    def drop_hopeless(self, entrants: int, exempt: int) -> list[str]:
        """Takes out and returns the paused trials that can never be promoted any more.

        Args:
            entrants: the most trials that will ever be at the first rung; with 0 all are dropped.
            exempt: the most exempt trials that will ever be there.
        """
        dropped = []
        last_hope = self.promotable(closing=True) if entrants else None
        for rung in self.rungs:
            places = entrants // self.reduction_factor
            paused = self._paused[rung.images]
            while paused and rung.position(paused[-1]) >= places and paused[-1][2] != last_hope:
                dropped.append(paused.pop()[2])
            entrants = places + exempt
        return dropped

    def paused(self) -> list[str]:
        """All paused trials."""
        return [trial for paused in self._paused.values() for _, _, trial in paused]

    def to_state(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return {
            "reduction_factor": self.reduction_factor,
            "rungs": [
                {
                    "images": rung.images,
                    "trials": [[trial, *rank] for rank, _, trial in rung.entries()],
                    "paused": [trial for _, _, trial in self._paused[rung.images]],
                }
                for rung in self.rungs
            ],
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `to_state`."""
        halving = cls([rung["images"] for rung in state["rungs"]], state["reduction_factor"])
        for rung in state["rungs"]:
            for trial, violation, value in rung["trials"]:
                paused = trial in rung["paused"]
                decision = Decision.PAUSE if paused else Decision.CONTINUE
                halving.record(trial, rung["images"], (violation, value), decision)
        return halving

    def _reached(self, images: int) -> Rung | None:
        reached = [rung for rung in self.rungs if rung.images <= images]
        return reached[-1] if reached else None


class Stop(Halving):
    """A trial is compared with those that came before it, so the first at a rung goes on."""

    def _decide(self, rung: Rung, rank: Rank, exempt: bool) -> Decision:
        cutoff = rung.cutoff(self.reduction_factor)
        if cutoff is None or rank <= cutoff:
            return Decision.CONTINUE
        return Decision.SPARE if exempt else Decision.PRUNE


class Promote(Halving):
    """A trial pauses at its rung until it is in the top 1/reduction_factor of all that came there.

    Of n trials in all, about n/(reduction_factor - 1) are paused with a chance to go on at any
    time; `drop_hopeless` gives up the others.
    """

    def _decide(self, rung: Rung, rank: Rank, exempt: bool) -> Decision:
        if not exempt:
            return Decision.PAUSE
        among_best = rung.place(rank) < (len(rung) + 1) // self.reduction_factor
        return Decision.CONTINUE if among_best else Decision.SPARE


VARIANTS: dict[str, type[Stop] | type[Promote]] = {"stop": Stop, "promote": Promote}
