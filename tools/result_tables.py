"""Writes the tables of the documentation from the results in `benchmarks/results`.

    python tools/result_tables.py [--check]

With --check it writes nothing and fails where a document is not up to date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RESULTS = ROOT / "benchmarks" / "results"
_AT = 16
_SHARES = ((10, "top 10 %"), (5, "top 5 %"), (1, "top 1 %"))

Table = list[list[str]]
Row = dict[str, Any]


def search_table(result: dict[str, Any]) -> Table:
    """The arms that are compared, on 16 workers, with the constraint."""
    rows = [r for r in _of(result, constrained=True, workers=_AT) if not _varied(r)]
    return _search(result, rows)


def choices_table(result: dict[str, Any]) -> Table:
    """Ours with another sampler or other rungs, on 16 workers, with the constraint."""
    rows = [r for r in _of(result, constrained=True, workers=_AT) if r["arm"].startswith("ours")]
    return _search(result, rows)


def _search(result: dict[str, Any], rows: Sequence[Row]) -> Table:
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


def workers_table(result: dict[str, Any], constrained: bool) -> Table:
    """Images, and minutes, to the top 5 % on each number of workers."""
    full = result["setting"]["full_length"]
    workers = sorted({row["workers"] for row in result["rows"]})
    table = [["arm", *(f"{n} workers" if n > 1 else "1 worker" for n in workers)]]
    for arm in dict.fromkeys(row["arm"] for row in result["rows"] if not _varied(row)):
        cells = []
        for n in workers:
            (row,) = [r for r in _of(result, constrained, n) if r["arm"] == arm]
            minutes = row["top_5_seconds"]
            time = "" if minutes is None else f", {minutes / 60:.1f} min"
            cells.append(f"{_bound(row, 'top_5_images')}{row['top_5_images'] / full:.1f}{time}")
        table.append([arm, *cells])
    return table


def surrogate_table(result: dict[str, Any]) -> Table:
    """How well the learning curves are predicted where they were not measured."""
    head = ["at full length, ten folds", "RMSE", "R²", "Spearman", "a seed's own deviation"]
    return [head] + [
        [name, *(f"{row[key]:.3g}" for key in ("rmse", "r2", "spearman", "seed_rmse"))]
        for name, row in result["setting"]["surrogate"].items()
    ]


def orchestration_table(result: dict[str, Any]) -> Table:
    """Both arms on Ray."""
    table = [["trials that train nothing", "seconds a trial", "seconds a report"]]
    return table + [
        [row["arm"], f"{row['seconds_a_trial']:.2f}", f"{row['seconds_a_report']:.4f}"]
        for row in result["rows"]
    ]


def growth_table(result: dict[str, Any]) -> Table:
    """Our driver as a study grows."""
    table = [["trials", "sampler", "ms a proposal", "ms a report", "s to resume", "MB of memory",
              "MB of journal"]]  # fmt: skip
    return table + [
        [
            f"{row['trials']:,}",
            row["sampler"],
            f"{row['proposal_ms']:.0f}",
            f"{row['report_ms']:.1f}",
            f"{row['resume_s']:.1f}",
            f"{row['memory_mb']:.0f}",
            f"{row['journal_mb']:.1f}",
        ]
        for row in result["rows"]
    ]


def scale_table(result: dict[str, Any]) -> Table:
    """The driver before simulated trials."""
    table = [["proposals", "trials", "at a time", "ms a proposal", "ms a rung",
              "s to the next trial, middle", "99 of 100", "driver busy", "MB of memory", "journal",
              "optuna.jsonl", "s to resume"]]  # fmt: skip
    return table + [
        [
            row["arm"],
            f"{row['trials']:,}",
            f"{row['slots']:,}",
            f"{row['proposal_ms']:.0f}",
            f"{row['rung_ms']:.1f}",
            f"{row['waited_ms'] / 1e3:.2f}",
            f"{row['waited_ms_99'] / 1e3:.2f}",
            f"{row['busy']:.0%}",
            f"{row['memory_mb']:.0f}",
            f"{row['journal_mb']:.1f}",
            f"{row['optuna_mb']:.1f}",
            f"{row['resume_s']:.1f}",
        ]
        for row in _part(result, "driver")
    ]


def scale_pieces_table(result: dict[str, Any]) -> Table:
    """Where the driver's time goes in each study."""
    studies: dict[tuple[str, int, int], dict[str, Row]] = {}
    for row in _part(result, "pieces"):
        studies.setdefault((row["arm"], row["trials"], row["slots"]), {})[row["piece"]] = row
    heads = [f"{arm}, {trials:,} and {slots:,}" for arm, trials, slots in studies]
    names = dict.fromkeys(name for pieces in reversed(studies.values()) for name in pieces)
    return [["ms a trial, of these CPU", *heads]] + [
        [name, *(_piece(pieces.get(name)) for pieces in studies.values())] for name in names
    ]


def _piece(row: Row | None) -> str:
    return f"{row['wall_ms_a_trial']:.1f}, {row['cpu_ms_a_trial']:.1f}" if row else "-"


def scale_spool_table(result: dict[str, Any]) -> Table:
    """How fast MLflow takes what waits for it."""
    head = ["store", "records", "waiting when the search ended", "taken a second, from then on",
            "CPU ms of the driver's process a record"]  # fmt: skip
    return [head] + [
        [
            row["arm"],
            f"{row['records']:,.0f}",
            f"{row['waiting']:,.0f}",
            f"{row['records_per_second']:.0f}",
            f"{row['cpu_ms_a_record']:.1f}",
        ]
        for row in _part(result, "spool")
    ]


def scale_ray_table(result: dict[str, Any]) -> Table:
    """Real Ray with light actors."""
    head = ["actors", "trials", "results a second", "driver's CPU ms a result", "driver busy",
            "s to the next trial, middle", "99 of 100", "MB of the driver",
            "MB an actor"]  # fmt: skip
    return [head] + [
        [
            f"{row['slots']:,}",
            f"{row['trials']:,}",
            f"{row['results_per_second']:.0f}",
            f"{row['cpu_ms_a_result']:.1f}",
            f"{row['busy']:.0%}",
            f"{row['waited_ms'] / 1e3:.2f}",
            f"{row['waited_ms_99'] / 1e3:.2f}",
            f"{row['driver_mb']:,.0f}",
            f"{row['actor_mb']:.0f}",
        ]
        for row in _part(result, "ray")
    ]


def _part(result: dict[str, Any], name: str) -> list[Row]:
    return [row for row in result["rows"] if row["part"] == name]


def knobs_table(result: dict[str, Any]) -> Table:
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


def faults_table(result: dict[str, Any]) -> Table:
    """Each kind of drill, and all that was lost in its drills together."""
    counts = ("trials", "reports", "scores", "images", "mlflow", "exits", "leftovers", "tracebacks")
    head = ["what happens", "drills", *("MLflow" if name == "mlflow" else name for name in counts)]
    return [head] + [
        [row["kind"], str(row["drills"]), *(str(row[name]) for name in counts)]
        for row in result["rows"]
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


def training_table(result: dict[str, Any]) -> Table:
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


def fixtures_table(result: dict[str, Any]) -> Table:
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


def frechet_table(result: dict[str, Any]) -> Table:
    """Time and accuracy of each implementation."""
    return [[result["device"], "seconds", "relative error"]] + [
        [row["tool"], f"{row['seconds']:.2f}", f"{row['relative_error']:.0e}"]
        for row in _part(result, "frechet")
    ]


def neighbors_table(result: dict[str, Any]) -> Table:
    """Time, memory and exactness."""
    return [[result["device"], "seconds", "GiB beyond the images", "copies found at 0"]] + [
        [
            row["tool"],
            f"{row['seconds']:.1f}",
            "" if row["gib"] is None else f"{row['gib']:.2f}",
            str(row["copies_at_distance_0"]),
        ]
        for row in _part(result, "neighbors")
    ]


TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], Table]]] = {
    "search": ("search", search_table),
    "choices": ("search", choices_table),
    "workers": ("search", lambda result: workers_table(result, constrained=True)),
    "unconstrained": ("search", lambda result: workers_table(result, constrained=False)),
    "surrogate": ("search", surrogate_table),
    "orchestration": ("orchestration", orchestration_table),
    "growth": ("growth", growth_table),
    "scale": ("scale", scale_table),
    "scale pieces": ("scale", scale_pieces_table),
    "scale spool": ("scale", scale_spool_table),
    "scale ray": ("scale", scale_ray_table),
    "knobs": ("knobs", knobs_table),
    "faults": ("faults", faults_table),
    "training": ("training_cpu", training_table),
    "fixtures": ("fixtures", fixtures_table),
    "frechet": ("evaluation", frechet_table),
    "neighbors": ("evaluation", neighbors_table),
}


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


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: the first row is the head, the first column is words."""
    head, *rows = table
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def updated(text: str) -> tuple[str, list[str]]:
    """A document with every table between its marks made anew, and the names of its tables."""
    found = []
    for name, (file, make) in TABLES.items():
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        if not marks.search(text):
            continue
        result = RESULTS / f"{file}.json"
        measured = result.exists()
        table = markdown(make(json.loads(result.read_text()))) if measured else "Not measured yet."
        text, count = marks.subn(lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text)  # type: ignore[misc]
        found += [name] * count
    return text, found


def main() -> None:
    """Writes, or checks."""
    made = {path: updated(path.read_text()) for path in DOCUMENTS}
    places = {name for _, names in made.values() for name in names}
    if places != TABLES.keys():
        raise SystemExit(f"no document has a place for {sorted(TABLES.keys() - places)}")
    for path, (text, _) in made.items():
        if "--check" not in sys.argv[1:]:
            path.write_text(text)
        elif text != path.read_text():
            raise SystemExit(f"{path.name} is not up to date; run python tools/result_tables.py")


if __name__ == "__main__":
    main()
