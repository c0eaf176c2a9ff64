"""Every way in for what is not ours: it is read, or refused as documented, and nothing else.

`python -m benchmarks.fuzzing` gives the same targets many more inputs, guided by what of our code
each reaches. What crashes there is kept in `inputs/`, and is tried here ever after.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from benchmarks.fuzz_targets import targets
from benchmarks.fuzzing import INPUTS, key

_SECONDS = 0.8
"""For the mutations of one target."""

NAMES = sorted(targets())


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL")  # damage is logged, and would be kept for every input


def mutated(content: bytes, draw: random.Random) -> bytes:
    """The same with a few bytes changed, cut out, put in or repeated."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        place = draw.randrange(len(changed) + 1)
        length = min(draw.randint(1, 8), len(changed) - place)
        some = draw.choice([b"", draw.randbytes(length), b"\x00", b"-1", b"1e999", b'"', b"\xff"])
        changed[place : place + draw.choice([0, length])] = some
    if draw.random() < 0.1:
        return bytes(changed[: draw.randrange(len(changed) + 1)])
    return bytes(changed)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_meant_to_be_read_and_what_crashed_before(name: str) -> None:
    target = targets()[name]
    kept = sorted((INPUTS / key(name)).glob("*"))
    for content in (*target.seeds, b"", *(path.read_bytes() for path in kept)):
        target.run(content)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_damaged_is_refused(name: str, tmp_path: Path) -> None:
    target = targets()[name]
    draw = random.Random(name)  # the same inputs each time, as many as there is time for
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        content = mutated(draw.choice(target.seeds), draw)
        (tmp_path / "input").write_bytes(content)  # kept by pytest, should it crash
        target.run(content)
