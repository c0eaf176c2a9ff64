"""Writes `docs/study-file.md` from the JSON schema of the study file's models.

    python tools/study_reference.py [--check]

With --check it writes nothing and fails where the file is not up to date.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_diffreg.study import Distribution, Study

TARGET = Path(__file__).parent.parent / "docs" / "study-file.md"

HEAD = """# The study file

One YAML file is one study. This page is generated from the code (`make docs`): every key, what it
may be, its default and what it means. "required" has no default. Images seen is the unit of
everything that has a length. An unknown key is an error.

A setting can be changed without editing the file: `--set optimizer.clip_norm=null`.
"""

_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
_TYPES = {"integer": "whole number", "number": "number", "string": "text", "null": "null"}
_TYPES |= {"boolean": "true or false", "object": "section", "array": "list"}

Schema = dict[str, Any]


def reference() -> str:
    """The whole page."""
    schema = Study.model_json_schema()
    tables = [_table(path, inner) for path, inner in _sections("", schema, schema["$defs"])]
    tables.append(_table("search.space.PATH", Distribution.model_json_schema()))
    return "\n".join([HEAD, *tables])


def _sections(path: str, schema: Schema, known: Schema) -> Iterator[tuple[str, Schema]]:
    yield path or "Top level", schema
    for name, field in schema["properties"].items():
        inner = _reference(field)
        if inner is not None:
            yield from _sections(f"{path}.{name}".lstrip("."), known[inner], known)


def _table(title: str, schema: Schema) -> str:
    rows = [f"## {title}", "", "| key | is | default | meaning |", "|---|---|---|---|"]
    required = schema.get("required", [])
    for name, field in schema["properties"].items():
        if _reference(field) is None:
            default = (
                "required" if name in required else f"`{json.dumps(field.get('default', {}))}`"
            )
            rows.append(f"| `{name}` | {_kind(field)} | {default} | {field['description']} |")
    return "\n".join(rows) + "\n"


def _reference(field: Schema) -> str | None:
    """The name of the section that a field is, if it is one."""
    for option in (field, *field.get("anyOf", ())):
        if "$ref" in option:
            return str(option["$ref"].rpartition("/")[2])
    return None


def _kind(field: Schema) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(option) for option in field["anyOf"])
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
