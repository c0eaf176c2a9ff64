"""Functions that a study file names as `package.module:function`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from tune_diffreg.errors import InputError
from tune_diffreg.secrets import plain_line


def call_factory(key: str, factory: str, arguments: dict[str, Any]) -> Any:
    """What the function returns when it is called with `arguments`.

    Args:
        key: the setting that names it, for errors.
        factory: `package.module:function`.

    Raises:
        InputError: it cannot be imported, or fails.
    """
    where = f"{key} {factory}"
    module, name = factory.split(":")
    if str(Path.cwd()) not in sys.path:  # no sooner, or any import would find what lies there
        sys.path.append(str(Path.cwd()))
    try:
        function: Any = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise InputError(
            f"{where}: {module} cannot be imported ({in_a_line(error)}); it must be installed, "
            "or lie in the folder that the command is given in"
        ) from None
    except AttributeError:
        raise InputError(f"{where}: {module} has no {name!r}") from None
    except (Exception, SystemExit) as error:
        raise InputError(f"{where}: importing {module} failed: {in_a_line(error)}") from None
    try:
        return function(**arguments)
    except (Exception, SystemExit) as error:
        raise InputError(f"{where}: {in_a_line(error)}") from None


def in_a_line(error: BaseException) -> str:
    """An error's kind and text without line breaks and credentials."""
    return plain_line(" ".join(f"{type(error).__name__}: {error}".split()))
