"""Reading a study file: YAML, `--set` overrides, and one sentence for what is wrong."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tune_diffreg.errors import InputError, did_you_mean, explain
from tune_diffreg.study.space import override
from tune_diffreg.study.study import Study


class _Loader(yaml.SafeLoader):
    """YAML as people expect it: 1e-4 is a number, and a key given twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a single word", key.start_mark
                )
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: the file is missing, unreadable, not YAML, or not a mapping.
    """
    try:
        content = _parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file in UTF-8") from None
    except _PARSING as error:
        raise InputError(f"{path}: is not valid YAML: {_yaml_problem(error)}") from None
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(f"{path}: must consist of sections with 'key: value' lines")
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


# What PyYAML raises for tags with a wrong value, and for nesting without end, is no YAMLError.
_PARSING = (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, RecursionError)


def _parse(text: str) -> Any:
    return yaml.load(text, _Loader)


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
        return key.strip(), _parse(value)
    except _PARSING as error:
        raise InputError(f"--set {text}: {_yaml_problem(error)}") from None


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


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line = error.problem_mark.line + 1
        return f"line {line}: {error.problem or error.context}"
    return (str(error) or type(error).__name__).splitlines()[0]
