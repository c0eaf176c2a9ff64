"""The commands. Each reads what was typed, calls one function, prints what it returns."""

from __future__ import annotations

import sys
import traceback
from typing import Any

import typer

from tune_diffreg.cli import jobs, models, studies
from tune_diffreg.cli.options import app
from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.secrets import masked, plain_line

__all__ = ["app", "jobs", "main", "models", "studies"]


_MISTYPED: Any = typer.BadParameter.__base__
"""What Typer raises at a command line that it cannot read: Click's, which it may bring itself."""


def main() -> None:
    """Entry point: bad input is one sentence and exit status 2, an interrupt 130."""
    given = sys.argv[1:]
    try:
        status = app(given or ["--help"], prog_name="tune-diffreg", standalone_mode=False)
        sys.exit(status if given else 2)
    except InputError as error:
        _say(error)
        sys.exit(2)
    except _MISTYPED as error:
        said = error.format_message().rstrip(".?")
        command = error.ctx.command_path if error.ctx else "tune-diffreg"
        _say(f"{said[:1].lower()}{said[1:]}; see `{command} --help`")
        sys.exit(2)
    except (WorkFailed, OSError) as error:
        _say(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # a mistake of ours has a traceback, and that no credentials
        sys.stderr.write(masked("".join(traceback.format_exception(error))))
        sys.exit(1)


def _say(error: Exception | str) -> None:
    print(plain_line(f"tune-diffreg: {error}"), file=sys.stderr)
