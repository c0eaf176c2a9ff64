"""The commands. Each reads what was typed, calls one function, prints what it returns."""

from __future__ import annotations

import sys
from pathlib import Path

from tune_diffreg.cli import jobs, models, studies
from tune_diffreg.cli.options import app
from tune_diffreg.errors import InputError, WorkFailed

__all__ = ["app", "jobs", "main", "models", "studies"]


def main() -> None:
    """Entry point: bad input is one sentence and exit status 2, an interrupt 130."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where a model of the user's own may lie
    try:
        app()
    except InputError as error:
        print(f"tune-diffreg: {error}", file=sys.stderr)
        sys.exit(2)
    except WorkFailed as error:
        print(f"tune-diffreg: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        print(f"tune-diffreg: {error}", file=sys.stderr)
        sys.exit(1)
