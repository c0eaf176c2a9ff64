"""Errors that are shown to people as one sentence instead of a traceback."""

import difflib
from typing import Any

from pydantic import ValidationError

from tune_diffreg.secrets import masked


class InputError(Exception):
    """What the user gave cannot be used. The text says what, where, and what is allowed."""


class WorkFailed(Exception):
    """The input was good and the work could not be done. The text says why."""


def did_you_mean(word: str, known: list[str]) -> str:
    """A hint to append to a sentence about the unknown `word`; empty if nothing is close."""
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def explain(error: ValidationError) -> str:
    """The first thing that is wrong, as 'key: what was found and what is allowed'."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"] if not _is_branch_name(part))
    what = _PHRASES.get(first["type"], first["msg"].removeprefix("Value error, "))
    # A validator of ours names what it found itself, and so does a missing key by being missing.
    if first["type"] not in ("value_error", "missing", "extra_forbidden"):
        what = f"{what[0].lower()}{what[1:]}, found {_shown(first['input'])}"
    return f"{place}: {what}" if place else what


_PHRASES = {
    "extra_forbidden": "there is no such setting",
    "missing": "this setting is required",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "dict_type": "must be a section with 'key: value' lines",
    "model_type": "must be a section with 'key: value' lines",
    "model_attributes_type": "must be a section with 'key: value' lines",
    "tuple_type": "must be a list",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must consist of letters, digits, '.', '_' and '-' (64 at most)",
}


def _is_branch_name(part: int | str) -> bool:
    """Pydantic names the branch of a union in a location; users do not write it."""
    return isinstance(part, str) and ("[" in part or part in ("float", "int", "str", "none"))


def _shown(value: Any) -> str:
    text = masked(repr(value))  # before it is cut, or half a password would be left
    return text if len(text) <= 60 else text[:57] + "..."
