"""The two formats that results are written in."""

from __future__ import annotations

import json
from typing import Any

import yaml


def to_yaml(content: dict[str, Any]) -> str:
    """YAML in the order given, lists of numbers on one line."""
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)


def to_json(content: Any) -> str:
    """Indented JSON; a value that is not finite is a mistake of the program."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
