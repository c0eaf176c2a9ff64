"""Writing files such that no reader ever sees half of one."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces `path` by `content`, durably: after a crash it holds the old or the new, whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    data = content.encode() if isinstance(content, str) else content
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def to_yaml(content: dict[str, Any]) -> str:
    """YAML in the order given, lists of numbers on one line."""
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)


def to_json(content: Any) -> str:
    """Indented JSON; a value that is not finite is a mistake of the program."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
