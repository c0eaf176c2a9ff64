"""Writing files such that no reader ever sees half of one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import yaml


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces `path` by `content`, durably: after a crash it holds the old or the new, whole."""
    with replacing(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that becomes `path` once it is whole and on the disk."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def to_yaml(content: dict[str, Any]) -> str:
    """YAML in the order given, lists of numbers on one line."""
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)


def to_json(content: Any) -> str:
    """Indented JSON; a value that is not finite is a mistake of the program."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
