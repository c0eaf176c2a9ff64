"""The search space: distributions over dotted paths into the configuration of a trial."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from tune_diffreg.errors import did_you_mean

Value = bool | int | float | str | None


class Distribution(BaseModel):
    """What a setting may be, in the words of Optuna's `suggest_*`."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    low: float | int | None = Field(None, description="smallest value")
    high: float | int | None = Field(None, description="largest value")
    log: bool = Field(False, description="draw evenly in the logarithm")
    step: float | int | None = Field(None, description="distance of the values from `low` on")
    choices: list[Any] | None = Field(
        None, max_length=1000, description="the values, in place of a range"
    )
    when: dict[str, Any] | None = Field(
        None, description="searched setting -> value or list of values with which this is searched"
    )

    @model_validator(mode="after")
    def _range_or_choices(self) -> Self:
        if self.choices is not None:
            if any(v is not None for v in (self.low, self.high, self.step)) or self.log:
                raise ValueError("give either choices or low and high, not both")
            if not self.choices:
                raise ValueError("choices is empty")
            if not all(isinstance(choice, Value) for choice in self.choices):
                raise ValueError(
                    "choices must be numbers, texts, true, false or null; a list cannot be searched"
                )
            return self
        if self.low is None or self.high is None:
            raise ValueError("give low and high, or choices")
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs a low above 0, found {self.low}")
        if self.step is not None and (self.log or not 0 < self.step <= self.high - self.low):
            raise ValueError("step must be above 0, at most high - low, and does not go with log")
        return self

    def extremes(self) -> list[Any]:
        """Values such that, if each is allowed for the setting, all are."""
        return list(self.choices) if self.choices is not None else [self.low, self.high]

    def contains(self, value: Any) -> bool:
        """Whether a trial could be given this value."""
        if self.choices is not None:
            return any(
                value == choice and isinstance(value, bool) == isinstance(choice, bool)
                for choice in self.choices
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        assert self.low is not None and self.high is not None
        if not self.low <= value <= self.high:
            return False
        if self.step is None:
            return True
        steps = (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    def at_quantile(self, quantile: float) -> Any:
        """The value below which a share of `quantile` in [0, 1) of the distribution lies."""
        if self.choices is not None:
            return self.choices[int(quantile * len(self.choices))]
        assert self.low is not None and self.high is not None
        if self.log:
            value = math.exp(math.log(self.low) + quantile * math.log(self.high / self.low))
            return min(max(value, self.low), self.high)
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        step = self.step if self.step is not None else 1 if whole else None
        if step is None:
            return self.low + quantile * (self.high - self.low)
        steps = math.floor((self.high - self.low) / step + 1e-9)
        return self.low + step * int(quantile * (steps + 1))

    def applies(self, values: Mapping[str, Any]) -> bool:
        """Whether this setting is searched in a trial that already has `values`."""
        return all(
            key in values and values[key] in as_list(wanted)
            for key, wanted in (self.when or {}).items()
        )


def outside(space: Mapping[str, Distribution], values: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the values that no trial of this space could be given."""
    return {path: v for path, v in values.items() if not space[path].contains(v)}


def as_list(value: Any) -> list[Any]:
    """A list as it is, anything else as a list of one."""
    return value if isinstance(value, list) else [value]


def override(config: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the nested `config` with each dotted path of `values` set."""
    result = copy.deepcopy(dict(config))
    for path, value in values.items():
        *sections, key = _keys(result, path)
        inner = result
        for section in sections:
            below = inner.setdefault(section, {})
            if not isinstance(below, dict):
                raise ValueError(f"{path}: {section!r} is a single setting, not a section")
            inner = below
        inner[key] = value
    return result


_OF_PATHS = re.compile(r"(search\.space|search\.baselines\.[^.]+)\.(.+)")
"""A section of a study file whose keys are dotted paths themselves, and what follows it."""


def _keys(config: Mapping[str, Any], path: str) -> list[str]:
    """Those that a dotted path leads through, one a level."""
    of_paths = _OF_PATHS.fullmatch(path)
    if of_paths is None:
        return path.split(".")
    keys, rest = of_paths[1].split("."), of_paths[2]
    section: Any = config
    for key in keys:
        section = section.get(key) if isinstance(section, dict) else None
    known = section if isinstance(section, dict) and rest not in section else {}
    there = [key for key in known if rest.startswith(f"{key}.")]
    return [*keys, there[0], rest.removeprefix(f"{there[0]}.")] if there else [*keys, rest]


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted paths: the converse of `override`."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def value_at(config: BaseModel, path: str) -> Any:
    """The value of the setting at a dotted path."""
    value: Any = config
    for part in path.split("."):
        value = getattr(value, part)
    return value


def require_setting(model: type[BaseModel], path: str) -> None:
    """Checks that a dotted path leads to a single setting of `model`.

    Raises:
        ValueError: it leads nowhere, or to a whole section.
    """
    if takes_float(model, path) is None:
        raise ValueError(f"{path} is a whole section; name one setting in it")


def takes_float(model: type[BaseModel], path: str) -> bool | None:
    """Whether the setting at a dotted path is real-valued; None for a whole section.

    Raises:
        ValueError: there is no such setting.
    """
    annotation: Any = model
    for part in path.split("."):
        fields = getattr(annotation, "model_fields", {})
        if part not in fields:
            hint = did_you_mean(part, list(fields))
            raise ValueError(f"a trial has no single setting {path!r}{hint}")
        annotation = fields[part].annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return None
    return annotation is float or "float" in _type_names(annotation)


def _type_names(annotation: Any) -> set[str]:
    inner = get_args(annotation)
    if not inner:
        return {getattr(annotation, "__name__", "")}
    return set().union(*(_type_names(part) for part in inner))
