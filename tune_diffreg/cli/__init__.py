"""The commands. Each reads what was typed, calls one function, prints what it returns."""

from __future__ import annotations

import sys
import traceback

from tune_diffreg.cli import jobs, models, studies
from tune_diffreg.cli.options import app
from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.secrets import masked, plain_line

__all__ = ["app", "jobs", "main", "models", "studies"]


def main() -> None:
    """Entry point: bad input is one sentence and exit status 2, an interrupt 130."""
    try:
        app()
    except InputError as error:
        _say(error)
        sys.exit(2)
    except (WorkFailed, OSError) as error:
        _say(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # a mistake of ours has a traceback, and that no credentials
        sys.stderr.write(masked("".join(traceback.format_exception(error))))
        sys.exit(1)


def _say(error: Exception) -> None:
    print(plain_line(f"tune-diffreg: {error}"), file=sys.stderr)
