"""Writes the tables of the README from the results in `benchmarks/results`.

    python tools/readme_tables.py [--check]

With --check it writes nothing and fails where the README is not up to date.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
_WORKERS = 16


def search_table(result: dict[str, Any]) -> list[list[str]]:
    """Every arm on 16 workers, with the constraint."""
    table = [["16 workers", "full trainings to the top 10 %", "to the top 5 %", "to stay there",
              "minutes to the top 5 %", "above the best in the end", "trials"]]  # fmt: skip
    full = result["setting"]["full_length"]
    for row in result["rows"]:
        if row["workers"] != _WORKERS or not row["constrained"]:
            continue
        table.append(
            [
                row["arm"],
                _middle(row, "top_10_images", full, 1),
                _middle(row, "top_5_images", full, 1),
                _middle(row, "stay_5_images", full, 1),
                _middle(row, "top_5_seconds", 60, 1),
                _middle(row, "regret", 1, 1),
                f"{row['trials']:.0f}",
            ]
        )
    return table


def orchestration_table(result: dict[str, Any]) -> list[list[str]]:
    """Both arms on Ray."""
    table = [["trials that train nothing", "seconds a trial", "seconds a report"]]
    return table + [
        [row["arm"], f"{row['seconds_a_trial']:.2f}", f"{row['seconds_a_report']:.3f}"]
        for row in result["rows"]
        if "seconds_a_trial" in row
    ]


def growth_table(result: dict[str, Any]) -> list[list[str]]:
    """Our driver as a study grows."""
    table = [["trials", "sampler", "ms a proposal", "ms a report", "s to resume", "MB of memory",
              "MB of journal"]]  # fmt: skip
    return table + [
        [
            f"{row['trials']:,}",
            row["sampler"],
            f"{row['proposal_ms']:.0f}",
            f"{row['report_ms']:.0f}",
            f"{row['resume_s']:.1f}",
            f"{row['memory_mb']:.0f}",
            f"{row['journal_mb']:.1f}",
        ]
        for row in result["rows"]
        if "proposal_ms" in row
    ]


TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], list[list[str]]]]] = {
    "search": ("search", search_table),
    "orchestration": ("orchestration", orchestration_table),
    "growth": ("orchestration", growth_table),
}


def _middle(row: dict[str, Any], name: str, unit: float, digits: int) -> str:
    """Interquartile mean and its interval; a dash where a quarter of the runs or more have none."""
    if row[name] is None:
        return "-"
    low, high = (
        f"{end / unit:.{digits}f}" if end is not None else "…" for end in row[f"{name}_interval"]
    )
    return f"{row[name] / unit:.{digits}f} ({low} to {high})"


def markdown(table: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: the first row is the head, the first column is words."""
    head, *rows = table
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *rows))


def updated(text: str) -> str:
    """The README with every table between its marks made anew."""
    for name, (file, make) in TABLES.items():
        result = json.loads((RESULTS / f"{file}.json").read_text())
        marks = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        table = markdown(make(result))
        text, found = marks.subn(lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text)  # type: ignore[misc]
        if found != 1:
            raise SystemExit(f"{README.name} has {found} places for the table {name!r}, not one")
    return text


def main() -> None:
    """Writes, or checks."""
    now = README.read_text()
    wanted = updated(now)
    if "--check" not in sys.argv[1:]:
        README.write_text(wanted)
    elif wanted != now:
        raise SystemExit(f"{README.name} is not up to date; run python tools/readme_tables.py")


if __name__ == "__main__":
    main()
