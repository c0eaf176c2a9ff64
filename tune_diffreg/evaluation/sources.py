"""The code that features come from: how images are prepared stands there, and in no weights."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from hashlib import _Hash


def code_sha256(network: nn.Module, *names: str) -> str:
    """Of the code that defines a network, and of the modules of these names."""
    sha = hashlib.sha256()
    add_code(sha, network, *names)
    return sha.hexdigest()


def add_code(sha: _Hash, network: nn.Module, *names: str) -> None:
    """Takes in the modules that define the parts of a network, and those of `names`.

    Not torch's own; nor what these modules import, unless a part of the network is made there.
    """
    defining = {type(part).__module__ for part in network.modules()} | set(names)
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in defining}
    own = {n: Path(file) for n, file in files.items() if file and n.split(".")[0] != "torch"}
    for name, path in sorted(own.items()):
        if path.is_file():
            source = path.read_bytes()
            sha.update(f"{name} {len(source)}".encode() + source)
