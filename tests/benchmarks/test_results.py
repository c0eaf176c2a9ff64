"""What is committed as measured, and what the documentation says of it, belong together."""

from __future__ import annotations

import json
import subprocess
import sys

import pandas as pd
import pytest

from benchmarks.output import RESULTS
from benchmarks.search import RUNS
from benchmarks.search_report import TARGETS_AT, _row, _targets
from tests.conftest import ROOT


def test_the_tables_of_the_documentation_are_made_from_the_results() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "result_tables.py", "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arm", ["stock recipe", "ours, promote"])
def test_the_result_of_the_replay_is_what_its_runs_say(arm: str) -> None:
    result = json.loads((RESULTS / "search.json").read_text())
    runs = pd.read_csv(RUNS)
    mine = runs[(runs["arm"] == arm) & (runs["workers"] == TARGETS_AT) & runs["constrained"]]
    (row,) = [
        r for r in result["rows"]
        if (r["arm"], r["workers"], r["constrained"]) == (arm, TARGETS_AT, True)
    ]  # fmt: skip
    assert len(mine) >= 50
    assert json.loads(json.dumps(_row(mine))) == row


def test_the_targets_follow_from_the_rows() -> None:
    result = json.loads((RESULTS / "search.json").read_text())
    rows = {(r["arm"], r["workers"], r["constrained"]): r for r in result["rows"]}
    assert _targets(rows) == result["targets"]
    assert len(result["targets"]) == 4
