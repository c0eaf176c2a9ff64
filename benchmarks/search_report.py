"""What the replay found: JSON, plot, and whether targets are met."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import pandas as pd

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from benchmarks.curves.measure import ABOUT, TABLE
from benchmarks.output import device_name, write_result
from benchmarks.simulation import REPORT_SECONDS, START_SECONDS
from benchmarks.statistics import interval, iqm
from benchmarks.surrogate import Table, validate

if TYPE_CHECKING:
    from benchmarks.search import Truth

PLOT = Path(__file__).parent / "results" / "search.svg"
_WHAT = ["arm", "workers", "constrained"]
TARGETS_AT = 16
PEER, BASE = "stock recipe", "random search"
_SHOWN = (BASE, "random + ASHA", PEER, "ours, stop", "ours, promote")
_COLOURS = ("#999999", "#E69F00", "#D55E00", "#0072B2", "#009E73")


def write_search(runs: pd.DataFrame, truths: Mapping[bool, Truth]) -> None:
    """Writes `results/search.json` and `results/search.svg`."""
    rows = [_row(group) for _, group in runs.groupby(_WHAT, sort=False)]
    by_name = {(r["arm"], r["workers"], r["constrained"]): r for r in rows}
    write_result(
        "search",
        {
            "device": device_name(),
            "setting": {
                "start_seconds": START_SECONDS,
                "report_seconds": REPORT_SECONDS,
                "full_length": Table.read().milestones[-1],
                "configurations": "any, through a surrogate of the measured curves",
                "surrogate": validate(Table.read()),
                "table": {"file": TABLE.name, "about": ABOUT.name},
                "truth": {
                    "constrained" if flag else "unconstrained": {
                        "best": known.best,
                        "feasible": known.feasible,
                        "thresholds": {f"{k:.0%}": v for k, v in known.thresholds.items()},
                    }
                    for flag, known in truths.items()
                },
            },
            "rows": rows,
            "targets": _targets(by_name),
        },
    )
    _plot(runs[runs["constrained"] & (runs["workers"] == TARGETS_AT)])


def _row(runs: pd.DataFrame) -> dict[str, Any]:
    """One arm on one cluster, its seeds together.

    A run that did not get somewhere counts with all the images that it may see. Where those are
    more than a quarter, the middle is a lower bound and `..._at_least` says so.
    """
    row: dict[str, Any] = {key: runs[key].tolist()[0] for key in _WHAT}
    row["seeds"] = len(runs)
    row["images"] = int(runs["images"].max())
    last = [c for c in runs.columns if c.startswith("regret_")][-1]
    for column in [c for c in runs.columns if c.startswith(("top_", "stay_"))] + [last]:
        name = "regret" if column == last else column
        values = runs[column]
        if name.endswith("images"):
            row[name.replace("images", "reached")] = float((values < math.inf).mean())
            row[f"{name}_at_least"] = not math.isfinite(iqm(values))
            values = values.clip(upper=runs["images"])
        row[name] = _finite(iqm(values))
        row[f"{name}_interval"] = [_finite(end) for end in interval(values)]
    row["breaks_the_bound"] = float((runs[last] == math.inf).mean())
    row["trials"] = float(runs["trials"].mean())
    return row


def _finite(value: float) -> float | None:
    """JSON knows no infinity: None says that more than a quarter of the values are none."""
    return round(value, 3) if math.isfinite(value) else None


def _targets(rows: Mapping[tuple[str, int, bool], dict[str, Any]]) -> dict[str, Any]:
    """Images to the top 5 %, ours against the peers', with 16 workers.

    Where a quarter of the peer's runs do not get there, the ratio is at most what is measured.
    """
    targets = {}
    for variant in ("stop", "promote"):
        ours = rows[f"ours, {variant}", TARGETS_AT, True]
        for peer, target in ((PEER, 1 / 2), (BASE, 1 / 5)):
            theirs = rows[peer, TARGETS_AT, True]
            ratio = round(ours["top_5_images"] / theirs["top_5_images"], 3)
            targets[f"images to the top 5 %, {variant} against {peer}"] = {
                "target": target,
                "measured": ratio,
                "at_most": theirs["top_5_images_at_least"],
                "met": ratio <= target and not ours["top_5_images_at_least"],
            }
    return targets


def _plot(runs: pd.DataFrame) -> None:
    """Regret of what would be named, against images seen: middle and quartiles."""
    columns = [c for c in runs.columns if c.startswith("regret_")]
    lengths = [float(c.removeprefix("regret_")) for c in columns]
    figure, axes = plt.subplots(figsize=(8, 4.5))
    for arm, colour in zip(_SHOWN, _COLOURS, strict=True):
        values = runs[runs["arm"] == arm][columns]
        quartiles = [values.quantile(q, interpolation="nearest") for q in (0.25, 0.5, 0.75)]
        axes.plot(lengths, quartiles[1], color=colour, label=arm)
        axes.fill_between(lengths, quartiles[0], quartiles[2], color=colour, alpha=0.12, lw=0)
    axes.set_xlabel("images seen by all trials together, in full trainings")
    axes.set_ylabel("true distance above the best feasible")
    axes.set_title(f"{TARGETS_AT} workers, median and quartiles of {runs['seed'].nunique()} seeds")
    axes.set_yscale("log")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(PLOT, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
