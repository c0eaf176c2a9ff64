"""`best.yaml`: what a study found, as production reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from tune_diffreg.errors import InputError, explain
from tune_diffreg.study import Distribution, Halving, Objective, TrialConfig, read_yaml
from tune_diffreg.study.sections import Settings
from tune_diffreg.study.study import Resources


class Result(Settings):
    """What the search measured for this configuration."""

    metric: str
    samples: int
    split: str
    feasible: bool
    scores: dict[str, float]


class Searched(Settings):
    """What the search varied, and by what it judged."""

    space: dict[str, Distribution]
    objective: Objective
    halving: Halving | None = None


class Best(Settings):
    """A configuration with its result and where it comes from."""

    version: Literal[1] = Field(alias="schema")
    study: str
    trial_id: str
    result: Result
    config: TrialConfig
    resources: Resources
    provenance: dict[str, Any]
    search: Searched | None = None
    confirmation: dict[str, Any] | None = None


def read_best(path: Path) -> Best:
    """Reads a `best.yaml`.

    Raises:
        InputError: the file is missing, is not a `best.yaml`, or does not fit this version.
    """
    try:
        return Best.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: is not a best.yaml that can be used: {explain(error)}") from None
