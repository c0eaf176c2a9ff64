"""YAML as plain data: texts, finite numbers, lists and sections, no larger than people write.

What a file holds is later copied, compared, written and shown, so that whatever could not be is
refused here: other types, texts that a terminal would obey, credentials, and aliases that make a
small file a large one.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

from tune_diffreg.secrets import holds_credentials

MOST_BYTES = 1_000_000
_MOST_VALUES = 100_000  # an alias counts as often as it is used
_DEEPEST = 40
_LARGEST = 2**63
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


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


def know_exponents(yaml_class: type[yaml.SafeLoader | yaml.SafeDumper]) -> None:
    """Has 1e-4 be a number to what reads YAML, and a text that reads so in need of quotes to what
    writes it. YAML 1.1 wants a point."""
    yaml_class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


know_exponents(_Loader)

# What PyYAML raises for tags with a wrong value, and for nesting without end, is no YAMLError.
_PARSING = (
    yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError,
    RecursionError,
)  # fmt: skip


def parse(text: str) -> Any:
    """What a YAML text says; `require_plain` is still to be asked.

    Raises:
        ValueError: it is no YAML, or would be larger than `text` lets one think.
    """
    loader: Any = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _measure(node, {})
        return loader.construct_document(node)
    except _PARSING as error:
        raise ValueError(_problem(error)) from None
    finally:
        if loader is not None:
            loader.dispose()


def require_plain(value: Any, where: str = "") -> None:
    """Checks all that is in `value`.

    Args:
        where: the dotted path that it stands at.

    Raises:
        ValueError: names the place, and what is wrong there.
    """
    at = f"{where}: " if where else ""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise ValueError(f"{at}a key must be text, found {key!r}; put it into quotes")
            require_plain(key, where)
            require_plain(inner, f"{where}.{key}" if where else key)
    elif isinstance(value, list):
        for inner in value:
            require_plain(inner, where)
    elif isinstance(value, str):
        _require_plain_text(value, at)
    elif isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{at}must be a finite number, found {value}")
    elif isinstance(value, int) and abs(value) >= _LARGEST:
        raise ValueError(f"{at}a number of {len(str(abs(value)))} digits is too large")
    elif value is not None and not isinstance(value, bool | int | float):
        raise ValueError(
            f"{at}must be text, a number, true, false or null, found a "
            f"{type(value).__name__}; put text into quotes"
        )


def _require_plain_text(value: str, at: str) -> None:
    found = _UNPRINTABLE.search(value)
    if found:
        raise ValueError(f"{at}must not hold the control character {found[0]!r}")
    if not holds_credentials(value):
        return
    if at == "tracking.uri: ":
        raise ValueError(
            f"{at}holds credentials, and a study file is kept, shown and sent around; leave them "
            "out, and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            "MLFLOW_TRACKING_TOKEN, or the whole as MLFLOW_TRACKING_URI, in the environment"
        )
    raise ValueError(f"{at}holds credentials; put them into the environment")


def _measure(node: yaml.Node, known: dict[int, tuple[int, int] | None]) -> tuple[int, int]:
    """How many values a node is with all aliases followed, and how deep they are nested."""
    if isinstance(node, yaml.ScalarNode):
        return 1, 1
    if id(node) in known:
        found = known[id(node)]
        if found is None:
            raise ValueError(f"line {node.start_mark.line + 1}: an alias that contains itself")
        return found
    known[id(node)] = None
    parts: list[yaml.Node] = []
    for part in node.value:
        parts += part if isinstance(part, tuple) else (part,)
    measures = [_measure(part, known) for part in parts]
    values = 1 + sum(values for values, _ in measures)
    depth = 1 + max((depth for _, depth in measures), default=0)
    if values > _MOST_VALUES:
        raise ValueError(f"more than {_MOST_VALUES:,} values, aliases counted each time")
    if depth > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} deep")
    known[id(node)] = values, depth
    return values, depth


def _problem(error: Exception) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line = error.problem_mark.line + 1
        return f"line {line}: {error.problem or error.context}"
    if isinstance(error, RecursionError):
        return "nested too deep"
    return (str(error) or type(error).__name__).splitlines()[0]
