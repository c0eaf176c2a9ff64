"""Writes `docs/study-file.md` from the JSON schema of the study file's models.

    python tools/study_reference.py [--check]

With --check it writes nothing and fails where the file is not up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, TypeAdapter

from tune_diffreg.study import Study

TARGET = Path(__file__).parent.parent / "docs" / "study-file.md"

HEAD = """# The study file

One YAML file is one study. This page is generated from the code (`make docs`): every key, what it
may be, its default and what it means. "required" has no default. Images seen is the unit of
everything that has a length. An unknown key is an error.

A setting can be changed without editing the file: `--set optimizer.clip_norm=null`,
what is searched too: `--set search.space.optimizer.weight_decay.high=0.1`.
"""

_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TYPES = {"integer": "whole number", "number": "number", "string": "text", "null": "null"}
_TYPES |= {"boolean": "true or false", "object": "section", "array": "list"}

Schema = dict[str, Any]


def reference() -> str:
    """The whole page."""
    tables = [_table(path or "Top level", model) for path, model in _sections("", Study)]
    return "\n".join([HEAD, *tables])


def _sections(path: str, model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    yield path, model
    for name, field in model.model_fields.items():
        named = ".NAME" if get_origin(field.annotation) is dict else ""
        for option in (field.annotation, *get_args(field.annotation)):
            if isinstance(option, type) and issubclass(option, BaseModel):
                yield from _sections(f"{path}.{name}{named}".lstrip("."), option)


def _table(title: str, model: type[BaseModel]) -> str:
    rows = [f"## {title}", "", "| key | is | default | meaning |", "|---|---|---|---|"]
    schema = model.model_json_schema()
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        if not _is_section(field):
            default = "required" if name in required else _default(model, name)
            rows.append(f"| `{name}` | {_kind(field)} | {default} | {field['description']} |")
    return "\n".join(rows) + "\n"


def _default(model: type[BaseModel], name: str) -> str:
    """As it stands in a file; that of a whole section is in the section's table."""
    value = model.model_fields[name].get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "as below"
    plain = TypeAdapter(Any).dump_python(value, mode="json", exclude_none=True)
    return f"`{json.dumps(plain)}`"


def _is_section(field: Schema) -> bool:
    """Whether there is nothing to say of a field but what its own table says."""
    return "description" not in field


def _kind(field: Schema) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(option) for option in field["anyOf"])
    if "$ref" in field:
        return "section"
    if "enum" in field:
        return ", ".join(f"`{choice}`" for choice in field["enum"])
    if field.get("type") == "array":
        return f"list of {_kind(field['items'])}" if field["items"] else "list"
    limits = [f"{sign} {field[key]:g}" for key, sign in _LIMITS.items() if key in field]
    return " ".join([_TYPES[field["type"]], ", ".join(limits)]).strip()


def main() -> int:
    page = reference()
    if "--check" in sys.argv[1:]:
        if not TARGET.exists() or TARGET.read_text(encoding="utf-8") != page:
            print(f"{TARGET.name} is not up to date: make docs", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
