"""What all sections of a study file are made of."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _is_factory(value: str) -> str:
    if not re.fullmatch(r"[\w.]+:\w+", value):
        raise ValueError(f"factory must be 'package.module:function', found {value!r}")
    return value


Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Images = Annotated[int, Field(ge=1, le=10**15)]
Channels = Annotated[int, Field(ge=1, le=65_536)]
Seed = Annotated[int, Field(ge=0, lt=2**62)]
Factory = Annotated[str, AfterValidator(_is_factory)]
# Of a study or a trial: it becomes part of paths, and cannot lead anywhere.
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"
Name = Annotated[str, Field(pattern=f"^{_NAME}$")]


def is_name(text: str) -> bool:
    """Whether a study or a trial may be called that."""
    return re.fullmatch(_NAME, text) is not None


def list_to_tuple(value: Any) -> Any:
    """YAML has lists, and settings do not change."""
    return tuple(value) if isinstance(value, list) else value


class Settings(BaseModel):
    """Base of all sections: unknown keys and silent conversions are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
