"""What may stand in a journal: the events that we write, each by itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from tune_diffreg.errors import explain
from tune_diffreg.study.settings import Name

Time = Annotated[float, Field(ge=0, le=1e11)]
Seconds = Annotated[float, Field(ge=0, le=1e11)]
Seen = Annotated[int, Field(ge=0, le=10**15)]
Number = Annotated[int, Field(ge=0, le=10**9)]
Scores = dict[str, float]


class _Event(TypedDict):
    # A later version may say more.
    __pydantic_config__ = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)  # type: ignore[misc]
    event: str
    time: Time


class _Floor(TypedDict):
    value: float
    images: Number
    measured: Number


class _Session(_Event):
    provenance: NotRequired[dict[str, str]]
    floor: NotRequired[_Floor]
    images: NotRequired[Seen]
    data_sha256: NotRequired[str]


class _Stop(_Event):
    finished: bool


class _Start(_Event):
    trial: Name
    values: dict[str, Any]
    baseline: str | None
    control: bool
    proposal: Number | None


class _Report(_Event):
    trial: Name
    images: Seen
    seconds: Seconds
    scores: Scores
    decision: Literal["continue", "spare", "pause", "prune", "complete"]


class _Promote(_Event):
    trial: Name


class _End(_Event):
    trial: Name
    state: Literal["complete", "pruned", "failed"]
    reason: str | None


class _Repeat(_Event):
    run: Name
    trial: Name
    number: Number


class _Repeated(_Event):
    run: Name
    images: Seen
    seconds: Seconds
    scores: Scores


class _RepeatFailed(_Event):
    run: Name
    reason: str


class _Scored(_Event):
    images: Seen
    seconds: Seconds
    scores: Scores


class _Refused(_Event):
    run: str
    what: str
    reason: str


_ANY = TypeAdapter(_Event)
_KINDS: dict[str, TypeAdapter[Any]] = {
    "session": TypeAdapter(_Session),
    "stop": TypeAdapter(_Stop),
    "start": TypeAdapter(_Start),
    "report": TypeAdapter(_Report),
    "promote": TypeAdapter(_Promote),
    "end": TypeAdapter(_End),
    "repeat": TypeAdapter(_Repeat),
    "repeated": TypeAdapter(_Repeated),
    "repeat_failed": TypeAdapter(_RepeatFailed),
    "scored": TypeAdapter(_Scored),
    "refused": TypeAdapter(_Refused),
}


def require_event(event: Any) -> None:
    """Checks one event, of a kind that we know, by itself.

    Raises:
        ValueError: it is none that we wrote. The text says why.
    """
    try:
        kind = _ANY.validate_python(event)["event"]
        if kind in _KINDS:
            _KINDS[kind].validate_python(event)
    except ValidationError as error:
        raise ValueError(explain(error)) from None
