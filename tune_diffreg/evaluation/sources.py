"""The code that features come from: how images are prepared stands there, and in no weights."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from torch import nn


def sources(network: nn.Module, *names: str) -> list[tuple[str, bytes]]:
    """The modules that define the parts of a network, and those of `names`, by name.

    Not torch's own; nor what these modules import, unless a part of the network is made there.
    """
    defining = {type(part).__module__ for part in network.modules()} | set(names)
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in defining}
    own = {n: Path(file) for n, file in files.items() if file and n.split(".")[0] != "torch"}
    return [(name, path.read_bytes()) for name, path in sorted(own.items()) if path.is_file()]


def code_sha256(network: nn.Module, *names: str) -> str:
    """Of all these modules."""
    sha = hashlib.sha256()
    for name, source in sources(network, *names):
        sha.update(f"{name} {len(source)}".encode() + source)
    return sha.hexdigest()
