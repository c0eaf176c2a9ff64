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

from tables import Table, evaluation, faults, scale, search, training

ROOT = Path(__file__).parent.parent
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RESULTS = ROOT / "benchmarks" / "results"


TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], Table]]] = {
    "search": ("search", search.arms),
    "choices": ("search", search.choices),
    "workers": ("search", lambda result: search.workers(result, constrained=True)),
    "unconstrained": ("search", lambda result: search.workers(result, constrained=False)),
    "surrogate": ("search", search.surrogate),
    "orchestration": ("orchestration", scale.orchestration),
    "growth": ("growth", scale.growth),
    "scale": ("scale", scale.driver),
    "scale pieces": ("scale", scale.pieces),
    "scale spool": ("scale", scale.spool),
    "scale ray": ("scale", scale.actors),
    "knobs": ("knobs", training.knobs),
    "faults": ("faults", faults.drills),
    "training": ("training_cpu", training.loops),
    "fixtures": ("fixtures", evaluation.fixtures),
    "frechet": ("evaluation", evaluation.frechet),
    "neighbors": ("evaluation", evaluation.neighbors),
}


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
