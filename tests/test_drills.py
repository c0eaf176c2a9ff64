"""A share of the drills of `benchmarks/faults.py`, once each: nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.drills.kinds import KINDS
from benchmarks.drills.losses import KINDS_OF_LOSS
from benchmarks.drills.undisturbed import undisturbed
from benchmarks.faults import drill

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# Those that no other test does, and that take least.
_HERE = ("checkpoint with flipped bits", "clock set back and driver killed")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.mark.parametrize("name", _HERE)
def test_nothing_is_lost(name: str, kept: Path) -> None:
    (kind,) = [kind for kind in KINDS if kind.name == name]
    row = drill(kind, 0, undisturbed(kept, kind.straight))
    assert {column: row[column] for column in KINDS_OF_LOSS if row[column]} == {}, row
