"""What several commands share: their options, and how they print."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from tune_diffreg import __version__
from tune_diffreg.mirror import storage_at

# Nothing that we start reports usage, unless the user wants it to.
for _switch, _off in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}.items():
    os.environ.setdefault(_switch, _off)

_ORDER = (
    *("run", "check", "submit", "resume", "stop"),
    *("list", "status", "logs", "best", "report", "ui", "sync"),
    *("export", "train", "compare", "narrow", "evaluate"),
)


class _InOrder(TyperGroup):
    """Lists the commands as one comes to need them."""

    def list_commands(self, ctx: Any) -> list[str]:
        def place(name: str) -> int:
            return _ORDER.index(name) if name in _ORDER else len(_ORDER)

        return sorted(super().list_commands(ctx), key=place)


app = typer.Typer(
    name="tune-diffreg",
    cls=_InOrder,
    help="Finds the regularisation with which a diffusion model generalises from few images.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tune-diffreg {__version__}")
        leave(0)


_Version = Annotated[
    bool,
    typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version."),
]


@app.callback()
def _(version: _Version = False) -> None:
    """What comes before a command."""


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
StorageAddress = Annotated[
    str | None,
    typer.Option(
        "--storage",
        metavar="PATH|URI",
        help="The same, and with --address http://... as the cluster sees it; left out: that which "
        "the study was submitted with, or the cluster's own.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT|auto", help="Ray cluster that trials run on; this machine if left out."
    ),
]
JobsAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="URL",
        help="Jobs API of a cluster, http://127.0.0.1:8265, for the studies submitted to it; this "
        "machine's studies if left out.",
    ),
]
Trust = Annotated[
    bool, typer.Option("--trust", help="Run code that an exported best.yaml names (a factory).")
]
Output = Annotated[Path, typer.Option(help="New folder to write.")]

RUNS = Path("runs")


def console(stderr: bool = False) -> Console:
    """Prints texts as they are: a bracket in a path or an error is not markup."""
    return Console(stderr=stderr, markup=False, highlight=False)


def show(content: Any, table: Callable[[Any], Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        console().print(table(content))


def storage_here(address: str | None) -> Path:
    """The folder to work in on this machine."""
    return storage_at(address or os.environ.get("TUNE_DIFFREG_STORAGE") or str(RUNS))


def leave(code: int) -> NoReturn:
    raise typer.Exit(code)
