"""The project itself: its rooms, its documentation of the study file."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_no_room_imports_what_it_may_not() -> None:
    """In a process of its own, since it silences all loggers there are."""
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [program, "--no-cache"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stdout


def test_the_reference_of_the_study_file_is_what_its_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "study_reference.py"), "--check"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_the_page_on_security_is_linked_and_names_what_is_there() -> None:
    assert "(SECURITY.md)" in (ROOT / "README.md").read_text()
    text = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"`((?:tests|benchmarks|docs|tune_diffreg)/[\w./]+|\w+\.yaml)`", text)
    of_studies = {"study.yaml", "best.yaml"}
    assert len(named) > 5
    assert [name for name in named if name not in of_studies and not (ROOT / name).exists()] == []
