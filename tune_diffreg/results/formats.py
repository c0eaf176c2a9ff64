"""The two formats that results are written in."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tune_diffreg.study.plain import know_exponents


class _Dumper(yaml.SafeDumper):
    """Writes what `read_yaml` reads as the same."""


know_exponents(_Dumper)


def to_yaml(content: dict[str, Any]) -> str:
    """YAML in the order given, lists of numbers on one line."""
    written: str = yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=100
    )
    return written


def to_json(content: Any) -> str:
    """Indented JSON; a value that is not finite is a mistake of the program."""
    return json.dumps(content, indent=2, allow_nan=False) + "\n"
