"""A drill of `benchmarks/faults.py`: nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.drills.kinds import KINDS
from benchmarks.drills.losses import KINDS_OF_LOSS
from benchmarks.drills.undisturbed import undisturbed
from benchmarks.faults import drill

pytestmark = [pytest.mark.slow, pytest.mark.drill, pytest.mark.timeout(900)]


def test_nothing_is_lost_by_a_kill_after_the_clock_was_set_back(tmp_path: Path) -> None:
    (kind,) = [kind for kind in KINDS if kind.name == "clock set back and driver killed"]
    row = drill(kind, 0, undisturbed(tmp_path, kind.straight))
    assert {column: row[column] for column in KINDS_OF_LOSS if row[column]} == {}, row
