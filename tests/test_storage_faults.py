"""A disk that is really full, under a study that runs."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import run_cli, tiny_run
from tests.test_faults import children, journal, records, reports, start, wait_for

pytestmark = pytest.mark.slow

# One trial at a time, so that the order of decisions is fixed.
LONG = [
    "training.images=6400", "halving.first_rung=1600", "search.trials=4", "search.concurrent=1",
]  # fmt: skip
MEBIBYTE = 2**20


class Disk:
    """A file system of a few MB."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._ballast = path / "ballast"

    def fill(self) -> None:
        """Takes all that is left, again and again, since a study removes files too."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (MEBIBYTE, 4096, 1):
                while True:
                    try:
                        file.write(bytes(size))
                    except OSError:
                        break

    def fill_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.fill()
            time.sleep(0.05)

    def empty(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("undisturbed")
    done = run_cli(*tiny_run(storage, *LONG))
    assert done.returncode == 0, done.stdout + done.stderr
    return storage


def ends_as(storage: Path, undisturbed: Path) -> None:
    """The same trials with the same decisions and scores, and MLflow knows each once."""
    found, wanted = records(storage), records(undisturbed)
    assert [(r.id, r.values, r.state) for r in found.values()] == [
        (r.id, r.values, r.state) for r in wanted.values()
    ]
    for record in wanted.values():
        assert [(r.images, r.scores, r.decision) for r in found[record.id].reports] == [
            (r.images, r.scores, r.decision) for r in record.reports
        ]
    assert children(storage) == [(r.id, r.state) for r in wanted.values()]


def test_a_disk_that_is_full_for_a_while_costs_time_alone(disk: Disk, undisturbed: Path) -> None:
    running = start(disk.path, *LONG)
    wait_for(disk.path, lambda events: reports(events) >= 1)
    disk.fill_for(12)
    before = journal(disk.path)
    disk.fill_for(2)
    assert running.poll() is None
    assert journal(disk.path) == before
    disk.empty()
    screen, _ = running.communicate(timeout=200)
    assert running.returncode == 0, screen
    assert screen.count("The storage cannot be written (No space left on device)") == 1
    assert screen.count("The storage can be written again") == 1
    assert "Traceback" not in screen
    assert "Logging error" not in screen
    ends_as(disk.path, undisturbed)


def test_a_disk_that_stays_full_interrupts_the_study_which_then_goes_on(
    disk: Disk, undisturbed: Path
) -> None:
    running = start(disk.path, *LONG, "resources.storage_seconds=5")
    wait_for(disk.path, lambda events: reports(events) >= 1)
    disk.fill_for(30)
    screen, _ = running.communicate(timeout=100)
    assert running.returncode == 130, screen
    assert "The storage could not be written for 0:0" in screen
    assert "Nothing is lost." in screen
    assert f"tune-diffreg resume digits --storage {disk.path}" in screen
    assert "Traceback" not in screen
    again = run_cli("resume", "digits", "--storage", disk.path)
    assert again.returncode == 2
    assert again.stderr.count("\n") == 1
    assert "cannot be written (No space left on device)" in again.stderr
    disk.empty()
    again = run_cli("resume", "digits", "--storage", disk.path)
    assert again.returncode == 0, again.stdout + again.stderr
    ends_as(disk.path, undisturbed)
