"""SIGTERM as Ctrl-C: what `stop`, a cluster or a machine that goes down sends ends a study as well.

Wherever a study is when it comes, it says what it is left as and how to go on, and exits with 130.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """Raises KeyboardInterrupt where the process is told to end meanwhile."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def sigterm_as_it_was() -> Iterator[None]:
    """Undoes what a library makes of SIGTERM meanwhile, where it should not have a say."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
