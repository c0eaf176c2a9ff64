"""Reading a study file: YAML, `--set` overrides, and one sentence for what is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tune_diffreg.errors import InputError, did_you_mean, explain
from tune_diffreg.files import read_text
from tune_diffreg.study.plain import MOST_BYTES, parse, require_plain
from tune_diffreg.study.space import override
from tune_diffreg.study.study import Study


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: the file is missing, unreadable, not YAML, or not a mapping.
    """
    text = read_text(path, MOST_BYTES)
    try:
        content = parse(text)
    except ValueError as error:
        raise InputError(f"{path}: is not valid YAML: {error}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path}: must consist of sections with 'key: value' lines")
    try:
        require_plain(content)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
    return content


def read_study(path: Path, overrides: Iterable[str] = ()) -> Study:
    """The study in a file, with `key=value` overrides put in before it is validated.

    Raises:
        InputError: names the file, the key, what was found and what is allowed.
    """
    content = read_yaml(path)
    try:
        content = override(content, parse_overrides(overrides))
        return Study.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {explain(error)}{_hint(error)}") from None
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def parse_overrides(texts: Iterable[str]) -> dict[str, Any]:
    """Dotted path to value, of `key=value` texts.

    Raises:
        InputError: one is not of that form, or its value is not YAML.
    """
    return dict(_parse_override(text) for text in texts)


def _parse_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise InputError(f"--set {text}: write it as key=value, such as search.trials=40")
    try:
        parsed = parse(value)
    except ValueError as error:
        raise InputError(f"--set {text}: {error}") from None
    try:
        require_plain(parsed, key.strip())
    except ValueError as error:
        raise InputError(f"--set {error}") from None
    return key.strip(), parsed


def _hint(error: ValidationError) -> str:
    """The nearest known key, where an unknown one was given."""
    first = error.errors(include_url=False)[0]
    if first["type"] != "extra_forbidden":
        return ""
    *sections, key = first["loc"]
    model: Any = Study
    for section in sections:
        field = getattr(model, "model_fields", {}).get(section)
        model = field.annotation if field is not None else None
    known = list(getattr(model, "model_fields", {}))
    return did_you_mean(str(key), known) or (f"; there are {', '.join(known)}" if known else "")
