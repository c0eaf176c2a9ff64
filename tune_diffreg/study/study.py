"""The study file: one training's configuration, what to vary, and how to search."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, ValidationError, model_validator

from tune_diffreg.errors import explain
from tune_diffreg.study import scores
from tune_diffreg.study.effect import require_effect
from tune_diffreg.study.objective import Objective
from tune_diffreg.study.search import Confirmation, Halving, Resources, Search, Tracking
from tune_diffreg.study.sections import TrialConfig
from tune_diffreg.study.settings import Name
from tune_diffreg.study.space import (
    Distribution,
    as_list,
    override,
    require_setting,
    takes_float,
    value_at,
)

# What a score is measured with and at.
_EQUAL_IN_ALL_TRIALS = ("training.images", "model.sample_size", "model.in_channels")

_CONDITIONAL = "augmentation.conditional"
_MOST_COMBINATIONS = 1000

# The storage folder holds these beside the studies, and what SQLite puts beside its file.
_RESERVED_NAMES = ("mlflow.db", "mlflow-artifacts", "references")


class Study(TrialConfig):
    """One file, one search."""

    name: Name = Field(
        description="letters, digits, '.', '_' and '-'; names the results folder",
    )
    search: Search
    objective: Objective
    halving: Halving | None = Field(None, description="null prunes nothing")
    confirmation: Confirmation | None = Field(
        default_factory=Confirmation,
        description="null confirms nothing, and the answer is the best of noisy trials",
    )
    resources: Resources = Field(default_factory=Resources)
    tracking: Tracking = Field(default_factory=Tracking)

    @model_validator(mode="after")
    def _search_fits(self) -> Self:
        if self.name.lower().startswith(_RESERVED_NAMES):
            raise ValueError(f"name: {self.name!r} is taken by what studies share")
        if not self.search.space:
            raise ValueError("search.space is empty; name at least one setting to vary")
        if len(self.search.baselines) > self.search.trials:
            raise ValueError(
                f"search.trials {self.search.trials} leaves no room for "
                f"{len(self.search.baselines)} baselines"
            )
        features, samples = self.evaluation.feature_name, self.evaluation.samples_at_rungs
        _require_known("metric", self.objective.metric, scores.minimized(features), features)
        for name, bound in self.objective.constraints.items():
            _require_known("constraints", name, scores.all_of(features, samples), features)
            if bound.over_heldout is not None and name not in scores.OF_HELDOUT:
                raise ValueError(
                    f"objective.constraints.{name}: over_heldout is for "
                    f"{' and '.join(scores.OF_HELDOUT)}"
                )
        self._check_rungs()
        self._check_budget()
        for path, distribution in self.search.space.items():
            self._check_searchable(path)
            self._check_distribution(path, distribution)
            for key, wanted in (distribution.when or {}).items():
                if key not in self.search.space:
                    raise ValueError(f"search.space.{path}: 'when' names {key!r}, not searched")
                if not all(self.search.space[key].contains(v) for v in as_list(wanted)):
                    raise ValueError(f"search.space.{path}: {key} can never be {wanted!r}")
        require_effect(self, self.search.space, self.objective.metric)
        list(self.search_order())
        self._check_model_choices()
        for name, overrides in self.search.baselines.items():
            for path in overrides:
                self._check_searchable(path)
            self._check_override(f"search.baselines.{name}", overrides)
        return self

    def _check_budget(self) -> None:
        needed, allowed = self.confirmation_images, self.search.images
        if allowed is not None and needed >= allowed:
            raise ValueError(
                f"search.images {allowed:,} leaves nothing for the search: confirmation needs "
                f"{needed:,}; raise it, or lower confirmation.finalists or confirmation.seeds"
            )

    def _check_rungs(self) -> None:
        first = self.halving.first_rung if self.halving else self.training.images
        if self.training.batch_size > first:
            raise ValueError(
                f"training.batch_size {self.training.batch_size} is more than the first rung has, "
                f"{first} images"
            )
        if self.halving is not None and self.halving.first_rung >= self.training.images:
            raise ValueError(
                f"halving.first_rung {self.halving.first_rung} must lie below training.images "
                f"{self.training.images}"
            )

    def _check_searchable(self, path: str) -> None:
        section = path.split(".", maxsplit=1)[0]
        if section in ("data", "evaluation") or path in _EQUAL_IN_ALL_TRIALS:
            raise ValueError(
                f"search: {path} must be equal in all trials, or scores do not compare"
            )
        require_setting(TrialConfig, path)

    def _check_distribution(self, path: str, distribution: Distribution) -> None:
        where = f"search.space.{path}"
        for value in distribution.extremes():
            self._check_override(where, {path: value})
        if _fits_in_parts(path) and distribution.choices is None:
            raise ValueError(f"{where}: not every value between low and high fits; give choices")
        whole = not takes_float(TrialConfig, path)
        if whole and distribution.step is not None and not isinstance(distribution.step, int):
            raise ValueError(f"{where}: step must be a whole number, found {distribution.step}")

    def _check_model_choices(self) -> None:
        """Settings of the model depend on each other: every combination has to be possible."""
        number = math.prod(len(self.search.space[path].extremes()) for path in self._model_paths())
        if number > _MOST_COMBINATIONS:
            raise ValueError(
                f"search.space: the choices for the model make {number:,} combinations; "
                f"{_MOST_COMBINATIONS:,} at most"
            )
        for values in self._model_combinations():
            self._check_override("search.space", values)

    def _model_paths(self) -> list[str]:
        return [p for p in self.search.space if p.startswith("model.") or p == _CONDITIONAL]

    def _model_combinations(self) -> Iterator[dict[str, Any]]:
        paths = self._model_paths()
        for values in itertools.product(*(self.search.space[p].extremes() for p in paths)):
            yield dict(zip(paths, values, strict=True))

    def _check_override(self, where: str, overrides: Mapping[str, Any]) -> None:
        try:
            self.trial_config(overrides)
        except ValidationError as error:
            raise ValueError(f"{where}: {explain(error)}") from None

    def trial_config(self, overrides: Mapping[str, Any]) -> TrialConfig:
        """The study's configuration with `overrides` (dotted path -> value) put in.

        Raises:
            ValueError: an override names no setting, or has a value that is not allowed.
        """
        plain = self.model_dump(include=set(TrialConfig.model_fields))
        return TrialConfig.model_validate(override(plain, overrides))

    def searched(self, config: TrialConfig) -> dict[str, Any]:
        """The searched settings that are in use in `config`: dotted path -> value."""
        values = {path: value_at(config, path) for path in self.search_order()}
        return {p: v for p, v in values.items() if self.search.space[p].applies(values)}

    def networks(self) -> list[TrialConfig]:
        """A configuration for each network that a trial may train, in no order that matters."""
        found: dict[str, TrialConfig] = {}
        for values in (*self._model_combinations(), *self.search.baselines.values()):
            config = self.trial_config(values)
            found.setdefault(repr((config.model, config.augmentation.conditional)), config)
        return list(found.values())

    @property
    def confirmation_images(self) -> int:
        """Images seen in confirmation, at most; a search leaves as many over."""
        if self.confirmation is None:
            return 0
        candidates = self.confirmation.finalists + len(self.search.baselines)
        return candidates * self.confirmation.seeds * self.training.images

    @property
    def most_images(self) -> int:
        """Images seen in a search that prunes nothing, or what it may spend."""
        whole = self.search.trials * self.training.images
        if self.search.images is None:
            return whole
        return min(whole, self.search.images - self.confirmation_images)

    def rungs(self) -> tuple[int, ...]:
        """Milestones in images seen, rising; the last is the full length."""
        end = self.training.images
        if self.halving is None:
            return (end,)
        factor = self.halving.reduction_factor
        marks = (self.halving.first_rung * factor**k for k in itertools.count())
        return (*itertools.takewhile(lambda images: images < end, marks), end)

    def search_order(self) -> Iterator[str]:
        """Searched paths such that each comes after those that its `when` names.

        Raises:
            ValueError: two `when` depend on each other.
        """
        waiting, done = dict(self.search.space), set[str]()
        while waiting:
            ready = [p for p, d in waiting.items() if done.issuperset(d.when or {})]
            if not ready:
                raise ValueError(f"search.space: 'when' goes in a circle: {', '.join(waiting)}")
            for path in ready:
                done.add(path)
                del waiting[path]
                yield path


def _fits_in_parts(path: str) -> bool:
    """Whether of two values that fit one between them may not."""
    return path.startswith("model.") or path == "diffusion.timesteps"


def _require_known(key: str, score: str, known: Sequence[str], features: str) -> None:
    if score not in known:
        raise ValueError(
            f"objective.{key}: no score {score!r} with evaluation.features {features!r}; there are "
            f"{', '.join(known)}"
        )
