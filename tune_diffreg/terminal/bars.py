"""Bars that are there while something is read or computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console
from rich.progress import Progress, TaskID


@contextmanager
def bars(console: Console, *what: str) -> Iterator[list[Callable[[int, int], None]]]:
    """For each of `what` a function of (done, in all); its bar is shown from its first call on."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as shown:

        def tell(task: TaskID, done: int, total: int) -> None:
            shown.update(task, completed=done, total=total, visible=True)

        yield [partial(tell, shown.add_task(name, visible=False)) for name in what]
