"""How fast a training is, and what each of its settings does."""

from __future__ import annotations

from typing import Any

from tables import Row, Table


def knobs(result: dict[str, Any]) -> Table:
    """Each knob alone, at each number of training images."""
    head = ["knob", "images", "memorised", "validation loss", "FD"]
    return [head] + [
        [
            row["knob"],
            str(row["size"]),
            _changed(row, "memorized_fraction", 100, ".1f", " %"),
            _changed(row, "validation_loss", 1, ".3f"),
            _changed(row, "fd_digits_cnn", 1, ".1f"),
        ]
        for row in sorted(result["rows"], key=lambda row: int(row["size"]))
    ]


def _changed(row: Row, score: str, scale: float, digits: str, unit: str = "") -> str:
    """A mean and, in brackets, its change and how far that is sure; bold where it is not 0."""
    mean = f"{row[score] * scale:{digits}}{unit}"
    change = row.get(f"{score}_change")
    if change is None:
        return mean
    text = f"({change['mean'] * scale:+{digits}} ± {change['reach'] * scale:{digits}})"
    sure = abs(change["mean"]) > change["reach"]
    return f"{mean} **{text}**" if sure else f"{mean} {text}"


def loops(result: dict[str, Any]) -> Table:
    """The loops beside each other."""
    return [[result["device"], "images/s", "ours is faster by"]] + [
        [
            row["loop"],
            f"{row['images_per_second']:,.0f}",
            f"{row['ours_is_faster_by']:.2f}×" + _reach(row),
        ]
        for row in result["rows"]
    ]


def _reach(row: Row) -> str:
    """The interval of a ratio, in words; nothing where it is held against itself."""
    low, high = row["interval"]
    return f" ({low:.2f} to {high:.2f})" if high > low else ""
