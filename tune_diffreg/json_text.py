"""JSON as somebody else may have written it."""

from __future__ import annotations

import json
from typing import Any, NoReturn


def parse_json(content: str | bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is none, is nested without end, or holds a number or a text that could not be
            written again.
    """
    try:
        value = json.loads(content, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if (b"\\ud" if isinstance(content, bytes) else "\\ud") in content.lower():  # type: ignore[operator]
        json.dumps(value, ensure_ascii=False).encode()  # half a character is a UnicodeError
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")
