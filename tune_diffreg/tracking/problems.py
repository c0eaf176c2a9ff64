"""What goes wrong between us and MLflow: an outage, or a record that it will never take."""

from __future__ import annotations

import re

from tune_diffreg.secrets import plain_line

_LONGEST = 200
# What MLflow, or a proxy before it, answers to content that it does not want. All else is an
# outage (no answer, too busy, full, a token that has lapsed), after which the same may be taken.
_REFUSALS = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "PERMISSION_DENIED")
# urllib3 tells it last, after the address and what was to be done there.
_CAUSE = re.compile(r"\(Caused by \w+\(['\"](?:\w+\(.*?\): )?(.*?)['\"]\)\)$")


def is_refusal(error: Exception) -> bool:
    """Whether what was sent is at fault, as far as the answer tells."""
    return getattr(error, "error_code", None) in _REFUSALS


def reason(error: Exception) -> str:
    """An error of MLflow, or of what it is built on, as part of a sentence."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    cause = _CAUSE.search(text)
    return plain_line(cause[1] if cause else text)[:_LONGEST]
