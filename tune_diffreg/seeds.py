"""Every random draw of the project comes from a generator made here.

A generator is a function of (seed, purpose, index) alone, so a training that is interrupted
and continued draws what an uninterrupted one draws, and nothing about randomness has to be
stored in a checkpoint.
"""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, purpose: str, index: int = 0) -> int:
    """A 63-bit seed for the `index`-th use of `purpose`, independent of all others."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(
    seed: int, purpose: str, index: int = 0, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A torch generator on `device` for the `index`-th use of `purpose`."""
    import torch  # takes seconds, and commands that only read results need none

    return torch.Generator(device).manual_seed(derive(seed, purpose, index))


def coin(seed: int, purpose: str, index: int, probability: float) -> bool:
    """One biased coin flip that is the same whenever it is asked for."""
    return random.Random(derive(seed, purpose, index)).random() < probability
