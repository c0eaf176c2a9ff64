"""What was lost where things went wrong."""

from __future__ import annotations

from typing import Any

from tables import Table


def drills(result: dict[str, Any]) -> Table:
    """Each kind of drill, and all that was lost in its drills together."""
    counts = ("trials", "reports", "scores", "images", "mlflow", "exits", "leftovers", "tracebacks")
    head = ["what happens", "drills", *("MLflow" if name == "mlflow" else name for name in counts)]
    return [head] + [
        [row["kind"], str(row["drills"]), *(str(row[name]) for name in counts)]
        for row in result["rows"]
    ]
