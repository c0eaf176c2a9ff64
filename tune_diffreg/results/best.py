"""`best.yaml`: what a study found, as production reads it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from typing_extensions import TypedDict

from tune_diffreg.errors import InputError, explain
from tune_diffreg.study import (
    Distribution,
    Halving,
    Objective,
    TrialConfig,
    override,
    parse_overrides,
    read_yaml,
)
from tune_diffreg.study.search import Resources
from tune_diffreg.study.settings import Name, Settings
from tune_diffreg.study.space import require_setting

_OF_THE_STUDY = ("study_sha256", "search_seed")
"""What of its provenance stays true of a configuration that is trained elsewhere."""


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

    @model_validator(mode="after")
    def _of_settings(self) -> Self:
        for path in self.space:
            require_setting(TrialConfig, path)
        return self


class Interval(TypedDict):
    """A mean and its 95 % interval; without ends where there was one value."""

    __pydantic_config__ = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)  # type: ignore[misc]
    mean: float
    low: float | None
    high: float | None


class Confirmed(TypedDict):
    """What is read of `confirmation`; it says more.

    The last three are not in files of earlier versions.
    """

    __pydantic_config__ = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)  # type: ignore[misc]
    split: str
    seeds: int
    scores: dict[str, Interval]
    improves: bool
    best_baseline: str | None
    feasible: NotRequired[bool]
    completed: NotRequired[int]
    verdict: NotRequired[list[str]]


def _require_confirmed(value: dict[str, Any]) -> dict[str, Any]:
    try:
        _CONFIRMED.validate_python(value)
    except ValidationError as error:
        raise ValueError(explain(error)) from None
    return value


_CONFIRMED = TypeAdapter(Confirmed)


class Best(Settings):
    """A configuration with its result and where it comes from."""

    version: Literal[1] = Field(alias="schema")
    study: Name
    trial_id: Name
    result: Result
    config: TrialConfig
    resources: Resources
    provenance: dict[str, Any]
    search: Searched | None = None
    confirmation: Annotated[dict[str, Any], AfterValidator(_require_confirmed)] | None = None
    unconfirmed: str | None = None
    """Why there is no confirmation, where it was tried."""

    @property
    def usable(self) -> bool:
        """Whether it meets the constraints, on fresh seeds where it was confirmed on some."""
        found = self.confirmation or {}
        return bool(found.get("feasible", self.result.feasible))


def without_cache(config: TrialConfig) -> TrialConfig:
    """The same configuration, which names no file to be written: `data.cache` is the one it may."""
    data = config.data.model_copy(update={"cache": None})
    return config.model_copy(update={"data": data})


def with_settings(best: Best, file: Path, settings: Iterable[str]) -> Best:
    """`best` with key=value settings of its configuration put in.

    Raises:
        InputError: names the file and what is wrong with a setting.
    """
    content = best.config.model_dump(mode="json")
    try:
        config = TrialConfig.model_validate(override(content, parse_overrides(settings)))
    except ValidationError as error:
        raise InputError(f"{file}: {explain(error)}") from None
    except ValueError as error:
        raise InputError(f"{file}: {error}") from None
    return best.model_copy(update={"config": config})


def trained(best: Best, scores: dict[str, float], origin: dict[str, str]) -> Best:
    """What a production training leaves: its own scores in place of the search's.

    Args:
        origin: hashes of its images and of the extractor, and versions of now. Of where the search
            came from, what identifies the study alone remains.
    """
    before, metric = best.result, best.result.metric
    feasible = before.feasible
    if best.search is not None:
        feasible = best.search.objective.violation(scores) == 0
    result = before.model_copy(
        update={
            "metric": metric if metric in scores else best.config.distance,
            "samples": best.config.evaluation.samples,
            "split": "validation",
            "feasible": feasible,
            "scores": scores,
        }
    )
    study = {key: value for key, value in best.provenance.items() if key in _OF_THE_STUDY}
    update = {
        "result": result,
        "provenance": {**origin, **study},
        "confirmation": None,
        "unconfirmed": None,
    }
    return best.model_copy(update=update)


def read_best(path: Path, trusted: bool = False) -> Best:
    """Reads a `best.yaml`.

    Args:
        trusted: whether the functions that it names may be run, and the file that it names be
            written: it is the user's own, or the user said so, or nothing of the kind is done with
            it. Of one that is not, `data.cache` is left out.

    Raises:
        InputError: the file is missing, is not a `best.yaml`, does not fit this version, or names
            functions and is not trusted.
    """
    try:
        best = Best.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: is not a best.yaml that can be used: {explain(error)}") from None
    if trusted:
        return best
    if best.config.factories:
        named = " and ".join(f"{factory} ({key})" for key, factory in best.config.factories.items())
        raise InputError(
            f"{path}: names code to be run, {named}; if you know who wrote the file and have read "
            "that code, give --trust"
        )
    return best.model_copy(update={"config": without_cache(best.config)})
