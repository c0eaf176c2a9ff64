"""What a trial costs the driver, and how that grows."""

from __future__ import annotations

from typing import Any

from tables import Row, Table, part


def orchestration(result: dict[str, Any]) -> Table:
    """Both arms on Ray."""
    table = [["trials that train nothing", "seconds a trial", "seconds a report"]]
    return table + [
        [row["arm"], f"{row['seconds_a_trial']:.2f}", f"{row['seconds_a_report']:.4f}"]
        for row in result["rows"]
    ]


def growth(result: dict[str, Any]) -> Table:
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


def driver(result: dict[str, Any]) -> Table:
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
        for row in part(result, "driver")
    ]


def pieces(result: dict[str, Any]) -> Table:
    """Where the driver's time goes in each study."""
    studies: dict[tuple[str, int, int], dict[str, Row]] = {}
    for row in part(result, "pieces"):
        studies.setdefault((row["arm"], row["trials"], row["slots"]), {})[row["piece"]] = row
    heads = [f"{arm}, {trials:,} and {slots:,}" for arm, trials, slots in studies]
    names = dict.fromkeys(name for costs in reversed(studies.values()) for name in costs)
    return [["ms a trial, of these CPU", *heads]] + [
        [name, *(_piece(costs.get(name)) for costs in studies.values())] for name in names
    ]


def _piece(row: Row | None) -> str:
    return f"{row['wall_ms_a_trial']:.1f}, {row['cpu_ms_a_trial']:.1f}" if row else "-"


def spool(result: dict[str, Any]) -> Table:
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
        for row in part(result, "spool")
    ]


def actors(result: dict[str, Any]) -> Table:
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
        for row in part(result, "ray")
    ]
