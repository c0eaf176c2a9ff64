"""The project itself: its rooms, its documentation of the study file."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import ROOT


def test_no_room_imports_what_it_may_not() -> None:
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_the_reference_of_the_study_file_is_what_its_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "study_reference.py"), "--check"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
