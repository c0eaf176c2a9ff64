"""What to do with a trial that reached a rung: asynchronous successive halving.

Li et al. 2020, "A system for massively parallel hyperparameter tuning" (MLSys), in the variant
that stops trials. Plain data in, a decision out; no clock, no randomness, no framework.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

Rank = tuple[float, float]
"""(constraint violation, objective): feasible before infeasible, then less is better."""


class Decision(StrEnum):
    CONTINUE = "continue"
    PRUNE = "prune"
    COMPLETE = "complete"


class Halving:
    """Compares trials at rungs; one in `reduction_factor` continues.

    Args:
        rungs: milestones in images seen, rising; the last is the full length.
    """

    def __init__(self, rungs: Sequence[int], reduction_factor: int) -> None:
        self.rungs = tuple(rungs)
        self.reduction_factor = reduction_factor
        self._ranks: dict[int, dict[str, Rank]] = {rung: {} for rung in self.rungs}

    def report(self, trial: str, images: int, rank: Rank, exempt: bool = False) -> Decision:
        """Records a trial at the highest rung that it has reached, and decides.

        A trial counts once a rung. It is compared with those that came before it, so the first
        at a rung always continues. An `exempt` trial is recorded and never pruned.
        """
        reached = [rung for rung in self.rungs if rung <= images]
        if not reached:
            return Decision.CONTINUE
        rung = reached[-1]
        recorded = self._ranks[rung]
        if rung == self.rungs[-1]:
            recorded.setdefault(trial, rank)
            return Decision.COMPLETE
        if trial in recorded:
            return Decision.CONTINUE  # the decision was made at its first report
        cutoff = self._cutoff(list(recorded.values()))
        recorded[trial] = rank
        if exempt or cutoff is None or rank <= cutoff:
            return Decision.CONTINUE
        return Decision.PRUNE

    def _cutoff(self, ranks: list[Rank]) -> Rank | None:
        """The rank of the top 1/reduction_factor, interpolated as `numpy.percentile` does."""
        if not ranks:
            return None
        ordered = sorted(ranks)
        position = (len(ordered) - 1) / self.reduction_factor
        low = int(position)
        better, worse = ordered[low], ordered[min(low + 1, len(ordered) - 1)]
        share = position - low
        violation, value = (b + share * (w - b) for b, w in zip(better, worse, strict=True))
        return violation, value
