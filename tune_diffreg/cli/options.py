"""What several commands share: their options, and how they print."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress

from tune_diffreg.mirror import storage_at

# Nothing that we start reports usage, unless the user wants it to.
for _switch, _off in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}.items():
    os.environ.setdefault(_switch, _off)

app = typer.Typer(
    name="tune-diffreg",
    help="Finds the regularisation with which a diffusion model generalises from few images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(metavar="STUDY", help="Study file (YAML).")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the study.")]
Storage = Annotated[
    Path,
    typer.Option(
        metavar="PATH|URI",
        envvar="TUNE_DIFFREG_STORAGE",
        parser=lambda text: storage_at(str(text)),
        help="What holds the studies' results: a folder, s3://bucket/folder, gs://...",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster; this machine if left out.")]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run code that an exported best.yaml names (a factory).")
]
Output = Annotated[Path, typer.Option(help="New folder to write.")]

RUNS = Path("runs")


@contextmanager
def progress(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is there while something is done, and called with (done, in all)."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def console(stderr: bool = False) -> Console:
    """Prints texts as they are: a bracket in a path or an error is not markup."""
    return Console(stderr=stderr, markup=False, highlight=False)


def show(content: Any, table: Callable[[Any], Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        console().print(table(content))


def leave(code: int) -> NoReturn:
    raise typer.Exit(code)
