"""What a drill lost: its study held against one that was left alone, item by item."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields

import pandas as pd

from benchmarks.drills.remembered import mlflow_differences
from benchmarks.drills.scene import Scene
from tune_diffreg.results import StudyFolder, TrialRecord, read_journal, replay
from tune_diffreg.results.folder import PAIRS, SAMPLES
from tune_diffreg.results.journal import Event

_TIMES = ["seconds"]
"""Columns of trials.csv that no two runs share."""

_ON_THE_SCREEN = re.compile(r"Traceback \(most recent|Check failed|Fatal Python error|core dumped")
_HALF_WRITTEN = ("**/.*.tmp", "**/.ray", "trials/*/checkpoint*")


@dataclass(frozen=True)
class Losses:
    """Counts; each is 0 where nothing was lost.

    Attributes:
        trials: missing, there twice, or in another state or with other values than they should be.
        reports: of a trial at a rung, missing or there twice.
        scores: that are other numbers, to the last bit.
        images: sheets of a trial that are missing or of other images.
        mlflow: runs missing or there twice, in another state, and points of metrics that are not
            there exactly once.
        exits: of commands with another status than the one promised.
        leftovers: files half-written, or that nobody needs any more.
        tracebacks: on the screen.
    """

    trials: int = 0
    reports: int = 0
    scores: int = 0
    images: int = 0
    mlflow: int = 0
    exits: int = 0
    leftovers: int = 0
    tracebacks: int = 0

    def total(self) -> int:
        return sum(getattr(self, column.name) for column in fields(self))


def losses(
    scene: Scene, straight: StudyFolder, exact: bool, to_fail: frozenset[str] = frozenset()
) -> Losses:
    """Compares what the drill's study left with what `straight` left.

    Args:
        exact: whether the order of decisions is fixed, so that all must be equal; else each trial
            must be there once and have ended well, and what was proposed alike must score alike.
        to_fail: trials that must have failed, and are compared no further.
    """
    folder = scene.folder
    events = read_journal(folder.journal) if folder.journal.exists() else []
    ours, theirs = replay(events), replay(read_journal(straight.journal))
    same = [name for name in theirs if name in ours and name not in to_fail]
    if not exact:
        same = [name for name in same if ours[name].values == theirs[name].values]
    pairs = [(ours[name], theirs[name]) for name in same]
    whole = pairs if exact else []
    return Losses(
        trials=_trials_lost(events, ours, theirs, exact, to_fail)
        + _rows_lost(folder, straight, exact, to_fail),
        reports=_doubled(events, "report") + sum(_missing(mine, right) for mine, right in whole),
        scores=sum(_differing(mine, right) for mine, right in pairs),
        images=sum(_sheets_lost(folder, straight, mine.id) for mine, _ in whole),
        mlflow=mlflow_differences(folder, ours),
        exits=sum(status not in expected for status, expected in scene.exits),
        leftovers=sum(len(list(folder.root.glob(pattern))) for pattern in _HALF_WRITTEN),
        tracebacks=sum(len(_ON_THE_SCREEN.findall(screen)) for screen in scene.screens),
    )


def _trials_lost(
    events: Iterable[Event],
    ours: dict[str, TrialRecord],
    theirs: dict[str, TrialRecord],
    exact: bool,
    to_fail: frozenset[str],
) -> int:
    lost = _doubled(events, "start") + _doubled(events, "end") + len(ours.keys() ^ theirs.keys())
    for name in ours.keys() & theirs.keys():
        mine, right = ours[name], theirs[name]
        if name in to_fail:
            good = mine.state == "failed" and bool(mine.reason)
        elif exact:
            good = (mine.state, mine.values) == (right.state, right.values)
        else:
            good = mine.state in ("complete", "pruned")
        lost += not good
    return lost


def _rows_lost(
    folder: StudyFolder, straight: StudyFolder, exact: bool, to_fail: frozenset[str]
) -> int:
    """Rows of `trials.csv` that are missing or too many, and, if all must be equal, that differ."""
    right = _table(straight, to_fail)
    if not folder.trials_csv.exists():
        return len(right)
    mine = _table(folder, to_fail)
    if list(mine["id"]) != list(right["id"]):
        return len(set(mine["id"]) ^ set(right["id"])) or 1
    if not exact:
        return 0
    equal = (mine == right) | (mine.isna() & right.isna())
    return int((~equal.all(axis=1)).sum())


def _table(folder: StudyFolder, left_out: frozenset[str]) -> pd.DataFrame:
    table = pd.read_csv(folder.trials_csv, dtype=str).drop(columns=_TIMES)
    return table[~table["id"].isin(left_out)].reset_index(drop=True)


def _doubled(events: Iterable[Event], kind: str) -> int:
    """Events that are in the journal once more than they should be."""
    counts = Counter((e["trial"], e.get("images")) for e in events if e["event"] == kind)
    return sum(count - 1 for count in counts.values())


def _missing(mine: TrialRecord, right: TrialRecord) -> int:
    """Rungs that only one of the two has reported."""
    return len({r.images for r in mine.reports} ^ {r.images for r in right.reports})


def _differing(mine: TrialRecord, right: TrialRecord) -> int:
    """Scores that are not the same number, at rungs that both have reported."""
    expected = {report.images: report.scores for report in right.reports}
    return sum(
        report.scores.get(name) != value
        for report in mine.reports
        for name, value in expected.get(report.images, {}).items()
    )


def _sheets_lost(folder: StudyFolder, straight: StudyFolder, trial: str) -> int:
    lost = 0
    for sheet in (SAMPLES, PAIRS):
        mine, right = folder.trial(trial) / sheet, straight.trial(trial) / sheet
        lost += not mine.exists() or mine.read_bytes() != right.read_bytes()
    return lost
