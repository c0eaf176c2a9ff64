"""Drills: does to real studies what happens to a cluster, and counts what was lost.

    python -m benchmarks.faults [--kinds "driver killed,Ctrl-C"] [--rounds 3] [--undisturbed FOLDER]

Every drill is a study on real Ray, gone on with by `resume` until it ends, and held against one
that nothing happened to. Stopped and started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.drills.kinds import KINDS, Kind
from benchmarks.drills.losses import KINDS_OF_LOSS, Comparison, losses
from benchmarks.drills.scene import Missed, scene
from benchmarks.drills.undisturbed import Undisturbed, undisturbed
from benchmarks.output import RESULTS, device_name, write_result
from tune_diffreg.files import write_atomically

RUNS = RESULTS / "fault_runs.csv"
ROUNDS = 3
_DRAWS = 5
_MOST_SENTENCES = 5


def drill(kind: Kind, number: int, straight: Undisturbed) -> dict[str, Any]:
    """One drill, as a row.

    Raises:
        Missed: the study was over before its moment, again and again.
    """
    for draw in range(_DRAWS):
        try:
            return _drilled(kind, number, draw, straight)
        except Missed as missed:
            reason = missed
    raise reason


def _drilled(kind: Kind, number: int, draw: int, straight: Undisturbed) -> dict[str, Any]:
    start = time.monotonic()
    dice = random.Random(f"{kind.name} {number} {draw}")
    with scene(dice, kind.overrides, straight.timeline) as stage:
        kind.act(stage)
        lost = losses(stage, Comparison(straight.folder, kind.exact, kind.to_fail))
        sentences = [sentence for found in lost.values() for sentence in found]
        return {
            "kind": kind.name,
            "round": number,
            "moment": "; ".join(stage.moments),
            "resumed": stage.resumed,
            **{name: len(found) for name, found in lost.items()},
            "seconds": round(time.monotonic() - start),
            "lost": "; ".join(sentences[:_MOST_SENTENCES]),
        }


def summary(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a kind: how often it was done, and the sums of what was lost."""
    rows = []
    for kind in KINDS:
        mine = runs[runs["kind"] == kind.name]
        if len(mine):
            counts = {column: int(mine[column].sum()) for column in KINDS_OF_LOSS}
            lost = int((mine[[*KINDS_OF_LOSS]].sum(axis=1) > 0).sum())
            rows.append(
                {
                    "kind": kind.name,
                    "drills": len(mine),
                    "resumed": int(mine["resumed"].sum()),
                    **counts,
                    "drills_with_a_loss": lost,
                }
            )
    return rows


def missing(kinds: Iterable[Kind], rounds: int, runs: pd.DataFrame) -> list[tuple[Kind, int]]:
    """The drills that are still to do; every kind once before any a second time."""
    done = set(zip(runs["kind"], runs["round"], strict=True)) if len(runs) else set()
    return [
        (kind, number)
        for number in range(rounds)
        for kind in kinds
        if (kind.name, number) not in done
    ]


def chosen(names: str | None) -> list[Kind]:
    """The kinds of a list of names separated by commas; without one all that may be done here."""
    if names is None:
        return [kind for kind in KINDS if os.geteuid() == 0 or not kind.needs_root]
    known = {kind.name: kind for kind in KINDS}
    wrong = [name for name in names.split(",") if name not in known]
    if wrong:
        raise SystemExit(f"no kind {wrong[0]!r}; there are: {', '.join(known)}")
    return [known[name] for name in names.split(",")]


def write(runs: pd.DataFrame) -> None:
    """The result, from all drills that were done."""
    rows = summary(runs)
    lossy = sum(row["drills_with_a_loss"] for row in rows)
    write_result(
        "faults",
        {
            "device": device_name(),
            "rows": rows,
            "targets": {
                "drills that lost something": {"target": 0, "measured": lossy, "met": lossy == 0},
                "kinds of drills": {
                    "target": len(KINDS), "measured": len(rows), "met": len(rows) == len(KINDS)
                },
            },
        },
    )  # fmt: skip


def main() -> None:
    """Does the drills that are missing, then writes what was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kinds", help="some of them, separated by commas; all if left out")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is done")
    parser.add_argument(
        "--undisturbed", type=Path,
        help="folder that keeps the undisturbed runs for the next call by the same code",
    )  # fmt: skip
    arguments = parser.parse_args()
    runs = pd.read_csv(RUNS) if RUNS.exists() else pd.DataFrame()
    with tempfile.TemporaryDirectory(prefix="drills-") as temporary:
        kept = arguments.undisturbed or Path(temporary)
        for kind, number in missing(chosen(arguments.kinds), arguments.rounds, runs):
            row = drill(kind, number, undisturbed(kept, kind.straight))
            print(row, flush=True)
            runs = pd.concat([runs, pd.DataFrame([row])], ignore_index=True)
            write_atomically(RUNS, runs.to_csv(index=False))
    if len(runs):
        write(runs)


if __name__ == "__main__":
    main()
