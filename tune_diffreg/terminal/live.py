"""The display of a running study: live on a terminal, a line an event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import RLock
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tune_diffreg.results import Repetition, TrialRecord
from tune_diffreg.results.journal import Event
from tune_diffreg.study import Study
from tune_diffreg.terminal.board import Board
from tune_diffreg.words import duration, knob, score, score_name, setting

# Events that leave a line above the live display.
_KEPT = ("end", "repeated", "repeat_failed", "interrupt", "storage", "again", "repeat_again")
_ROWS = 12  # of running trials; a cluster has more than a screen


class Display(Protocol):
    """Takes events and shows them until it is left."""

    def __call__(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: Any) -> None: ...


def open_display(
    study: Study,
    records: dict[str, TrialRecord],
    console: Console,
    runs: dict[str, Repetition] | None = None,
) -> Display:
    """The live display where there is a terminal, plain lines where there is none."""
    board = Board(study, records, runs)
    return LiveDisplay(board, console) if console.is_terminal else PlainDisplay(board, console)


class PlainDisplay:
    """One line an event, with the time since the start."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console
        self._start = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        return None

    def __call__(self, event: Event) -> None:
        self._board.note(event)
        text = line(self._board, event)
        if text:
            elapsed = duration(time.monotonic() - self._start)
            self._console.print(f"{elapsed:>7}  {text}", soft_wrap=True)


class LiveDisplay:
    """Counts, the best so far, the budget, and a row a running trial, drawn in place."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._start = time.monotonic()
        self._lock = RLock()  # the display is drawn from a thread of its own
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def __call__(self, event: Event) -> None:
        with self._lock:
            self._board.note(event)
        if event["event"] in _KEPT:
            self._live.console.print(line(self._board, event))

    def _render(self) -> RenderableType:
        with self._lock:
            return self._draw()

    def _draw(self) -> RenderableType:
        board, elapsed = self._board, time.monotonic() - self._start
        left = board.seconds_left(elapsed)
        counts = board.counts
        head = Text.assemble(
            (board.study.name, "bold"),
            f"  {counts.running} running, "
            + (f"{counts.paused} paused, " if counts.paused else "")
            + f"{counts.complete} complete, {counts.pruned} pruned, "
            f"{counts.failed} failed, of {counts.total} trials",
        )
        images = Table.grid(padding=(0, 1))
        images.add_row(
            ProgressBar(total=board.most_images, completed=board.images_seen, width=30),
            f"{board.images_seen:,} images seen, at most {board.most_images:,}",
        )
        clock = f"{duration(elapsed)} so far" + (
            f", about {duration(left)} left" if left is not None else ""
        )
        lines = best_lines(board)
        if board.repetitions:
            done = sum(run.state != "running" for run in board.repetitions.values())
            lines.append(f"confirming on fresh seeds: {done} of {board.most_repetitions} done")
        return Group(head, *lines, images, Text(clock), self._running())

    def _running(self) -> Table:
        study = self._board.study
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
        metric = study.objective.metric
        for title in ("running", "images seen", score_name(metric, short=True), "memorised"):
            table.add_column(title)
        running = self._board.running
        for record, images in running[:_ROWS]:
            table.add_row(
                record.label + (" (control)" if record.control else ""),
                f"{images:,} / {study.training.images:,}",
                score(metric, record.scores.get(metric)),
                score("memorized_fraction", record.scores.get("memorized_fraction")),
            )
        for run, images in self._board.repeating[: max(0, _ROWS - len(running))]:
            label = self._board.records[run.trial].label
            seen = f"{images:,} / {study.training.images:,}"
            table.add_row(f"{label}, fresh seed {run.number}", seen, "", "")
        if len(running) > _ROWS:
            table.add_row(f"and {len(running) - _ROWS} more")
        return table


def best_lines(board: Board) -> list[str]:
    """The best trial of full length so far, and the one that leads on the way there."""
    best, leader = board.best, board.leader
    lines = ["best so far: none has reached full length yet"]
    if best is not None:
        feasible = board.study.objective.violation(best.scores) == 0
        lines = [
            f"best so far: {best.label}, {main_scores(board.study, best.scores)}"
            + ("" if feasible else " (breaks a constraint)")
        ]
    if leader is not None and leader.state != "complete":
        lines.append(
            f"leading at {leader.images:,} images: {leader.label}, "
            f"{main_scores(board.study, leader.scores)}"
        )
    return lines


def line(board: Board, event: Event) -> str | None:
    """An event in one line; None for those that are not worth one."""
    describe = _LINES.get(event["event"])
    return describe(board, event) if describe else None


def _started(board: Board, event: Event) -> str:
    record = board.records[event["trial"]]
    space = board.study.search.space
    values = ", ".join(f"{knob(p, space)} {setting(v)}" for p, v in record.values.items())
    control = ", control" if record.control else ""
    return f"{record.label} started{control}: {values or 'the study file as it is'}"


def _reported(board: Board, event: Event) -> str | None:
    if event["decision"] in ("prune", "complete"):
        return None  # its end follows
    record = board.records[event["trial"]]
    paused = ", paused" if event["decision"] == "pause" else ""
    scores = main_scores(board.study, event["scores"])
    return f"{record.label} at {event['images']:,} images{paused}: {scores}"


def _promoted(board: Board, event: Event) -> str:
    record = board.records[event["trial"]]
    return f"{record.label} goes on from {record.images:,} images"


def _interrupted(*_: Any) -> str:
    return "Stopping at the trials' next sign of life; Ctrl-C again stops at once."


def _again(board: Board, event: Event) -> str:
    return f"{board.records[event['trial']].label} goes on from its checkpoint: {event['reason']}"


def _repeat_again(board: Board, event: Event) -> str:
    return f"{_repetition(board, event)} goes on from its checkpoint: {event['reason']}"


def _storage(_: Board, event: Event) -> str:
    sentence: str = event["sentence"]
    return sentence


def _ended(board: Board, event: Event) -> str:
    record = board.records[event["trial"]]
    if record.state == "failed":
        return f"{record.label} failed: {record.reason}"
    scores = main_scores(board.study, record.scores)
    best = " (best so far)" if board.best is record else ""
    return f"{record.label} {record.state} at {record.images:,} images: {scores}{best}"


def _repeating(board: Board, event: Event) -> str:
    return f"{_repetition(board, event)} started: a fresh seed, scored on the test split"


def _repeated(board: Board, event: Event) -> str:
    return f"{_repetition(board, event)}: {main_scores(board.study, event['scores'])}"


def _repeat_failed(board: Board, event: Event) -> str:
    return f"{_repetition(board, event)} failed: {event['reason']}"


def _repetition(board: Board, event: Event) -> str:
    run = board.repetitions[event["run"]]
    return f"confirming {board.records[run.trial].label}, seed {run.number}"


_LINES: dict[str, Callable[[Board, Event], str | None]] = {
    "start": _started,
    "report": _reported,
    "promote": _promoted,
    "interrupt": _interrupted,
    "storage": _storage,
    "again": _again,
    "repeat_again": _repeat_again,
    "end": _ended,
    "repeat": _repeating,
    "repeated": _repeated,
    "repeat_failed": _repeat_failed,
}


def main_scores(study: Study, scores: dict[str, float]) -> str:
    """The objective and what is memorised, in one line."""
    metric = study.objective.metric
    shown = dict.fromkeys((metric, "memorized_fraction"))
    return ", ".join(
        f"{score_name(name, short=True).replace(' fraction', '')} {score(name, scores.get(name))}"
        for name in shown
    )
