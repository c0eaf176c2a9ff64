"""What scores see, how exact they are and what they cost."""

from __future__ import annotations

from typing import Any

from tables import Table, part


def fixtures(result: dict[str, Any]) -> Table:
    """Each set by each score."""
    scores = {
        "fd_digits_cnn": "FD", "kd_digits_cnn": "KD", "precision": "precision",
        "recall": "recall", "coverage": "coverage", "memorized_fraction": "memorised",
        "authentic_fraction": "authentic", "median_distance_ratio": "distance ratio",
        "mann_whitney_z": "Z", "c_t": "C_T",
    }  # fmt: skip
    return [["set", *scores.values()]] + [
        [row["set"], *(f"{row[name]:.3g}" for name in scores)] for row in result["rows"]
    ]


def frechet(result: dict[str, Any]) -> Table:
    """Time and accuracy of each implementation."""
    return [[result["device"], "seconds", "relative error"]] + [
        [row["tool"], f"{row['seconds']:.2f}", f"{row['relative_error']:.0e}"]
        for row in part(result, "frechet")
    ]


def neighbors(result: dict[str, Any]) -> Table:
    """Time, memory and exactness."""
    return [[result["device"], "seconds", "GiB beyond the images", "copies found at 0"]] + [
        [
            row["tool"],
            f"{row['seconds']:.1f}",
            "" if row["gib"] is None else f"{row['gib']:.2f}",
            str(row["copies_at_distance_0"]),
        ]
        for row in part(result, "neighbors")
    ]
