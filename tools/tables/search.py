"""How soon a search finds what is good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tables import Row, Table

_AT = 16
_SHARES = ((10, "top 10 %"), (5, "top 5 %"), (1, "top 1 %"))


def arms(result: dict[str, Any]) -> Table:
    """The arms that are compared, on 16 workers, with the constraint."""
    rows = [r for r in _of(result, constrained=True, workers=_AT) if not _varied(r)]
    return _arms(result, rows)


def choices(result: dict[str, Any]) -> Table:
    """Ours with another sampler or other rungs, on 16 workers, with the constraint."""
    rows = [r for r in _of(result, constrained=True, workers=_AT) if r["arm"].startswith("ours")]
    return _arms(result, rows)


def _arms(result: dict[str, Any], rows: Sequence[Row]) -> Table:
    full = result["setting"]["full_length"]
    head = [f"{_AT} workers", *(title for _, title in _SHARES), "top 5 % to stay",
            "distance above the best", "trials"]  # fmt: skip
    return [head] + [
        [
            row["arm"],
            *(_middle(row, f"top_{share}_images", full) for share, _ in _SHARES),
            _middle(row, "stay_5_images", full),
            _middle(row, "regret"),
            f"{row['trials']:.0f}",
        ]
        for row in rows
    ]


def workers(result: dict[str, Any], constrained: bool) -> Table:
    """Images, and minutes, to the top 5 % on each number of workers."""
    full = result["setting"]["full_length"]
    counts = sorted({row["workers"] for row in result["rows"]})
    table = [["arm", *(f"{n} workers" if n > 1 else "1 worker" for n in counts)]]
    for arm in dict.fromkeys(row["arm"] for row in result["rows"] if not _varied(row)):
        cells = []
        for n in counts:
            (row,) = [r for r in _of(result, constrained, n) if r["arm"] == arm]
            minutes = row["top_5_seconds"]
            time = "" if minutes is None else f", {minutes / 60:.1f} min"
            cells.append(f"{_bound(row, 'top_5_images')}{row['top_5_images'] / full:.1f}{time}")
        table.append([arm, *cells])
    return table


def surrogate(result: dict[str, Any]) -> Table:
    """How well the learning curves are predicted where they were not measured."""
    head = ["at full length, ten folds", "RMSE", "R²", "Spearman", "a seed's own deviation"]
    return [head] + [
        [name, *(f"{row[key]:.3g}" for key in ("rmse", "r2", "spearman", "seed_rmse"))]
        for name, row in result["setting"]["surrogate"].items()
    ]


def _of(result: dict[str, Any], constrained: bool, workers: int) -> list[Row]:
    return [
        row
        for row in result["rows"]
        if row["constrained"] == constrained and row["workers"] == workers
    ]


def _varied(row: Row) -> bool:
    """Whether it is one of ours that is not as it ships."""
    return str(row["arm"]).count(",") > 1


def _middle(row: Row, name: str, unit: float = 1) -> str:
    """Interquartile mean and its interval; a dash where a quarter of the runs or more have none."""
    if row[name] is None:
        return "-"
    low, high = (f"{end / unit:.1f}" if end is not None else "…" for end in row[f"{name}_interval"])
    return f"{_bound(row, name)}{row[name] / unit:.1f} ({low} to {high})"


def _bound(row: Row, name: str) -> str:
    return "≥ " if row.get(f"{name}_at_least") else ""
