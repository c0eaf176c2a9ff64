"""Of several machines one writes a study, on a real S3 interface."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.conftest import tiny_study
from tests.elsewhere.machines import on_another_machine, write_lease
from tune_diffreg import lease
from tune_diffreg.elsewhere import Elsewhere
from tune_diffreg.errors import InputError
from tune_diffreg.files import write_atomically
from tune_diffreg.mirror import publish_growth, storage_at, withdraw
from tune_diffreg.results import StudyFolder, open_study
from tune_diffreg.results.journal import cut_torn_line


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are renewed, watched and given up within seconds."""
    for name, seconds in {"_LEASE": 5.0, "_RENEWED": 0.4, "_PAUSE": 0.2}.items():
        monkeypatch.setattr(lease, f"{name}_SECONDS", seconds)


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease is not renewed any more once it was taken, and lapses after two seconds."""
    for name, seconds in {"_LEASE": 2.0, "_RENEWED": 1e6, "_PAUSE": 0.1}.items():
        monkeypatch.setattr(lease, f"{name}_SECONDS", seconds)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("ahead", [0, 7200, -7200])
def test_one_machine_at_a_time_runs_a_study_whatever_its_clock_says(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ahead: int
) -> None:
    folder = StudyFolder(storage_at(address), "digits")
    folder.create(tiny_study())
    other = StudyFolder(on_another_machine(address, monkeypatch, tmp_path / "other"), "digits")
    other.refresh()
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + ahead)
    with folder.lock():
        monkeypatch.setattr(time, "time", clock)
        assert other.is_locked() or ahead
        with pytest.raises(InputError, match="being run by another machine"), other.lock():
            pass
    assert not other.is_locked()
    with other.lock():
        pass


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("ahead", [0, 7200, -7200])
def test_a_machine_that_was_lost_gives_way_after_a_while(address: str, ahead: int) -> None:
    folder = StudyFolder(storage_at(address), "digits")
    folder.create(tiny_study())
    left = {"holder": "gone 1", "mark": "its", "time": time.time() + ahead}
    write_lease(folder, json.dumps(left).encode())
    assert folder.is_locked() or ahead
    begin = time.monotonic()
    with folder.lock():
        assert time.monotonic() - begin >= 5
    assert not folder.is_locked()


@pytest.mark.usefixtures("hasty")
def test_a_machine_that_finds_another_in_its_place_writes_no_more(address: str) -> None:
    folder = StudyFolder(storage_at(address), "digits")
    folder.create(tiny_study())
    with folder.lock():
        write_lease(folder, b'{"holder": "other 1", "mark": "its", "time": 1}')
        deadline = time.monotonic() + 10
        with pytest.raises(OSError, match="another machine has gone on with this study"):
            while time.monotonic() < deadline:
                write_atomically(folder.best, "late")
                time.sleep(0.1)
    assert lease.read_lease(Elsewhere(address), "digits/.lease")["holder"] == "other 1"


@pytest.mark.usefixtures("hasty")
def test_what_another_machine_did_until_it_let_go_is_known_to_the_next(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The next may have read the journal long before, and its data since."""
    study = tiny_study()
    one = StudyFolder(storage_at(address), "digits")
    two = StudyFolder(on_another_machine(address, monkeypatch, tmp_path / "two"), "digits")
    with one.begun(study):
        one.journal.write_bytes(b"first\n")
        publish_growth(one.journal)
        two.refresh()
        one.journal.write_bytes(b"first\nsecond\n")
        one.log.write_bytes(b"said\nand tor")
        publish_growth(one.journal)
        publish_growth(one.log)
        write_atomically(one.summary, "{}")
    with two.begun(study):
        assert two.journal.read_bytes() == b"first\nsecond\n"
        assert two.summary.read_text() == "{}"
        assert two.is_written()
        assert not one.is_written()
        assert cut_torn_line(two.log) == 5
        for file, line in ((two.journal, b"third\n"), (two.log, b"again\n")):
            with file.open("ab") as end:
                end.write(line)
            publish_growth(file)
    three = StudyFolder(on_another_machine(address, monkeypatch, tmp_path / "three"), "digits")
    with three.begun(study):
        assert three.journal.read_bytes() == b"first\nsecond\nthird\n"
        assert three.log.read_bytes() == b"said\nagain\n"


@pytest.mark.usefixtures("hasty")
def test_of_two_studies_of_one_name_one_begins(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither knew of the other when it looked."""
    one = StudyFolder(storage_at(address), "digits")
    two = StudyFolder(on_another_machine(address, monkeypatch, tmp_path / "two"), "digits")
    with one.begun(tiny_study()):
        pass
    other = tiny_study("search.seed=1")
    with pytest.raises(InputError, match="made from another file"), two.begun(other):
        pass
    assert open_study(one.storage, "digits").read_study() == tiny_study()


@pytest.mark.usefixtures("cut_off")
def test_the_first_that_a_machine_writes_after_another_took_over_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = StudyFolder(storage_at(address), "digits")
    folder.create(tiny_study())
    other = StudyFolder(on_another_machine(address, monkeypatch, tmp_path / "other"), "digits")
    with folder.lock():
        folder.journal.write_bytes(b"one\n")
        publish_growth(folder.journal)
        write_atomically(folder.best, "one")
        other.refresh()
        with other.lock():
            other.journal.write_bytes(b"one\ntheirs\n")
            publish_growth(other.journal)
            folder.journal.write_bytes(b"one\nlate\n")
            for change in (
                lambda: publish_growth(folder.journal),
                lambda: write_atomically(folder.best, "late"),
                lambda: withdraw(folder.best),
            ):
                with pytest.raises(OSError, match="another machine has gone on with this study"):
                    change()
    third = StudyFolder(on_another_machine(address, monkeypatch, tmp_path / "third"), "digits")
    third.refresh()
    assert third.journal.read_bytes() == b"one\ntheirs\n"
    assert third.best.read_text() == "one"


@pytest.mark.usefixtures("cut_off")
def test_a_machine_that_was_cut_off_and_not_followed_goes_on(address: str) -> None:
    folder = StudyFolder(storage_at(address), "digits")
    folder.create(tiny_study())
    with folder.lock():
        before = lease.read_lease(Elsewhere(address), "digits/.lease")
        time.sleep(2)
        assert not folder.is_locked(), "another machine could take over now"
        write_atomically(folder.best, "mine")
        now = lease.read_lease(Elsewhere(address), "digits/.lease")
        assert (now["mark"], now["at"] > before["at"]) == (before["mark"], True)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("clock", [(3600.0, 0.0), (0.0, 3600.0), (-3600.0, 3600.0)])
def test_a_lease_is_old_if_one_clock_says_so(
    address: str, monkeypatch: pytest.MonkeyPatch, clock: tuple[float, float]
) -> None:
    """One stands still while a machine sleeps, the other may be set back."""
    taken = lease.Lease(Elsewhere(address), "digits/.lease")
    with taken.held("busy"):
        assert taken._age() < 3600
        now = lease._clocks()
        later = tuple(a + b for a, b in zip(now, clock, strict=True))
        monkeypatch.setattr(lease, "_clocks", lambda: later)
        assert taken._age() >= 3590
