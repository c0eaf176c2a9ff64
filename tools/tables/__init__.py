"""The tables of the documentation, each made from one result: the first row is its head."""

from typing import Any

Table = list[list[str]]
Row = dict[str, Any]


def part(result: dict[str, Any], name: str) -> list[Row]:
    """The rows of one part of a benchmark."""
    return [row for row in result["rows"] if row["part"] == name]
