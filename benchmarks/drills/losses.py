"""What a drill lost: its study held against one that was left alone, item by item."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from benchmarks.drills.remembered import missing_in_mlflow
from benchmarks.drills.scene import Scene
from tune_diffreg.results import StudyFolder, TrialRecord, read_journal, replay
from tune_diffreg.results.folder import PAIRS, SAMPLES
from tune_diffreg.results.journal import Event

KINDS_OF_LOSS = (
    "trials", "reports", "scores", "images", "mlflow", "exits", "leftovers", "tracebacks"
)  # fmt: skip

_TIMES = ["seconds"]
"""Columns of trials.csv that no two runs share."""

# The second line is what a traceback ends with.
_ON_THE_SCREEN = re.compile(
    r"Traceback \(most recent call last\):\n(?:[ \t].*\n|\n)*(?P<error>.*)"
    r"|.*(?:Check failed|Fatal Python error|core dumped).*"
)
_HALF_WRITTEN = ("**/.*.tmp", "**/.ray", "trials/*/checkpoint*")

Found = Iterator[str]
"""One sentence for each thing that was lost."""


@dataclass(frozen=True)
class Comparison:
    """What a drill's study is held against.

    Attributes:
        straight: a study that nothing happened to.
        exact: whether the order of decisions is fixed, so that all must be equal; else each trial
            must be there once and have ended well, and what was proposed alike must score alike.
        to_fail: trials that must have failed, and are compared no further.
    """

    straight: StudyFolder
    exact: bool = True
    to_fail: frozenset[str] = frozenset()


def losses(scene: Scene, right: Comparison) -> dict[str, list[str]]:
    """All that was lost, by kind of loss; every list is empty where nothing was."""
    folder = scene.folder
    events = read_journal(folder.journal) if folder.journal.exists() else []
    ours, theirs = replay(events), replay(read_journal(right.straight.journal))
    pairs = list(_comparable(ours, theirs, right))
    whole = pairs if right.exact else []
    left = (path for pattern in _HALF_WRITTEN for path in folder.root.glob(pattern))
    found: dict[str, Iterable[str]] = {
        "trials": [
            *_doubled(events, "start"), *_doubled(events, "end"),
            *_trials(ours, theirs, right), *_rows(folder, right),
        ],
        "reports": [*_doubled(events, "report"), *(x for pair in whole for x in _reports(*pair))],
        "scores": (x for pair in pairs for x in _scores(*pair)),
        "images": (x for mine, _ in whole for x in _sheets(folder, right.straight, mine.id)),
        "mlflow": missing_in_mlflow(folder, ours),
        "exits": (
            f"exit status {status}, not {' or '.join(map(str, expected))}"
            for status, expected in scene.exits
            if status not in expected
        ),
        "leftovers": (f"{path.relative_to(folder.root)} is left" for path in left),
        "tracebacks": (x for screen in scene.screens for x in _tracebacks(screen)),
    }  # fmt: skip
    return {kind: list(found[kind]) for kind in KINDS_OF_LOSS}


def _comparable(
    ours: dict[str, TrialRecord], theirs: dict[str, TrialRecord], right: Comparison
) -> Iterator[tuple[TrialRecord, TrialRecord]]:
    for name in ours.keys() & theirs.keys() - right.to_fail:
        if right.exact or ours[name].values == theirs[name].values:
            yield ours[name], theirs[name]


def _trials(
    ours: dict[str, TrialRecord], theirs: dict[str, TrialRecord], right: Comparison
) -> Found:
    for name in sorted(theirs.keys() - ours.keys()):
        yield f"{name} is missing"
    for name in sorted(ours.keys() - theirs.keys()):
        yield f"{name} is too many"
    for name in sorted(ours.keys() & theirs.keys()):
        mine, other = ours[name], theirs[name]
        allowed = {other.state} if right.exact else {"complete", "pruned"}
        if name in right.to_fail:
            allowed = {"failed"}
        if mine.state not in allowed:
            yield f"{name} is {mine.state} ({mine.reason}), not {' or '.join(sorted(allowed))}"
        elif right.exact and name not in right.to_fail and mine.values != other.values:
            yield f"{name} has other values"


def _rows(folder: StudyFolder, right: Comparison) -> Found:
    """Rows of `trials.csv`."""
    if not folder.trials_csv.exists():
        yield "there is no trials.csv"
        return
    mine, other = _table(folder, right.to_fail), _table(right.straight, right.to_fail)
    if list(mine["id"]) != list(other["id"]):
        yield f"trials.csv has {', '.join(mine['id'])}"
    elif right.exact:
        equal = (mine == other) | (mine.isna() & other.isna())
        for name in mine["id"][~equal.all(axis=1)]:
            yield f"{name} is another row in trials.csv"


def _table(folder: StudyFolder, left_out: frozenset[str]) -> pd.DataFrame:
    table = pd.read_csv(folder.trials_csv, dtype=str).drop(columns=_TIMES)
    return table[~table["id"].isin(left_out)].reset_index(drop=True)


def _doubled(events: Iterable[Event], kind: str) -> Found:
    """Events that are in the journal once more than they should be."""
    counts = Counter((e["trial"], e.get("images")) for e in events if e["event"] == kind)
    for (name, images), count in counts.items():
        for _ in range(count - 1):
            yield f"{name} has one more {kind}" + (f" at {images}" if images else "")


def _reports(mine: TrialRecord, other: TrialRecord) -> Found:
    """Rungs that only one of the two has reported."""
    for images in sorted({r.images for r in mine.reports} ^ {r.images for r in other.reports}):
        yield f"{mine.id} has a report too many or too few at {images}"


def _scores(mine: TrialRecord, other: TrialRecord) -> Found:
    """Scores that are not the same number, at rungs that both have reported."""
    expected = {report.images: report.scores for report in other.reports}
    for report in mine.reports:
        for name, value in expected.get(report.images, {}).items():
            if report.scores.get(name) != value:
                yield f"{mine.id} at {report.images}: {name} is {report.scores.get(name)}"


def _sheets(folder: StudyFolder, straight: StudyFolder, trial: str) -> Found:
    for sheet in (SAMPLES, PAIRS):
        mine, other = folder.trial(trial) / sheet, straight.trial(trial) / sheet
        if not mine.exists() or mine.read_bytes() != other.read_bytes():
            yield f"{trial}/{sheet} is missing or another"


def _tracebacks(screen: str) -> Found:
    for found in _ON_THE_SCREEN.finditer(screen):
        yield f"on the screen: {(found['error'] or found[0]).strip()[:200]}"
