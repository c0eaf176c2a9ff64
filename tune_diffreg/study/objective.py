"""What a search minimises, and what its trials must meet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from tune_diffreg.study.settings import Settings


class Bound(Settings):
    """What a feasible trial's score must not pass."""

    max: float | None = Field(None, description="largest value of a feasible trial")
    min: float | None = Field(None, description="smallest value of a feasible trial")
    over_heldout: float | None = Field(
        None,
        description="memorized_fraction: largest excess over the same of real held-out images",
    )

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("a constraint is {max: ...}, {min: ...} or {over_heldout: ...}")
        return self

    def excess(self, score: float | None, heldout: float | None) -> float:
        """By how much the score passes the bound, 0 or less if it does not.

        A score that could not be taken passes it by the bound itself.
        """
        if score is None:
            return self.unit
        largest = self.largest(heldout)
        over = -math.inf if largest is None else score - largest
        return over if self.min is None else max(over, self.min - score)

    def largest(self, heldout: float | None) -> float | None:
        """The largest score that is allowed, where real held-out images score `heldout`."""
        bounds = [] if self.max is None else [self.max]
        if self.over_heldout is not None:
            bounds.append((heldout or 0.0) + self.over_heldout)
        return min(bounds, default=None)

    @property
    def unit(self) -> float:
        """What an excess is measured in."""
        bounds = (self.max, self.min, self.over_heldout)
        return max(abs(bound) for bound in bounds if bound is not None) or 1.0


class Objective(Settings):
    metric: str = Field(description="score to minimise")
    constraints: dict[str, Bound] = Field(
        default_factory=lambda: {"memorized_fraction": Bound(over_heldout=0.01)},
        description="score -> {max: bound}, {min: bound} or {over_heldout: excess} that a trial "
        "must meet; left out: memorized_fraction at most that of held-out images and one point",
    )

    def violation(self, scores: Mapping[str, float]) -> float:
        """How far a trial is from feasible: the excess over each bound, in units of the bound."""
        return sum(
            max(0.0, excess) / self.constraints[name].unit
            for name, excess in self.excess(scores).items()
        )

    def excess(self, scores: Mapping[str, float]) -> dict[str, float]:
        """Constraint -> by how much it is broken; 0 or less is feasible."""
        return {
            name: bound.excess(scores.get(name), scores.get(f"heldout_{name}"))
            for name, bound in self.constraints.items()
        }

    def rank(self, scores: Mapping[str, float]) -> tuple[float, float]:
        """Sorts trials from best to worst: feasible before infeasible, then by the metric."""
        return self.violation(scores), scores[self.metric]
