"""Studies on a real S3 interface, and storages that are not there or fall silent."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path

import psutil
import pytest

from tests.conftest import Command, run_cli, tiny_study
from tests.elsewhere.machines import found, on_another_machine, write_lease
from tests.terminal.test_display import started
from tests.test_faults import LONG, records, reports, start, wait_for
from tune_diffreg.elsewhere import Elsewhere
from tune_diffreg.errors import InputError
from tune_diffreg.mirror import Mirror, publish_growth, storage_at
from tune_diffreg.observation import Observer, observer, read_status
from tune_diffreg.results import StudyFolder, list_studies, open_study, read_journal


def test_what_others_put_into_a_storage_is_no_study_and_no_holder(
    address: str, command: Command
) -> None:
    storage = storage_at(address)
    folder = StudyFolder(storage, "digits")
    folder.create(tiny_study())
    there = Elsewhere(address)
    there.write("mlflow artifacts/study.yaml", b"name: x")
    there.write("digits/journal.jsonl.pieces/not-a-number", b"{}")
    assert [found.name for found in list_studies(storage)] == ["digits"]
    status, printed = command("list", "--storage", address)
    assert (status, "│ digits │ interrupted" in printed) == (0, True), printed
    for says in (b"{", b'{"time": 1e400}', b'{"time": %d, "holder": "a b c"}' % time.time()):
        write_lease(folder, says)
        assert folder.holder() is None


def test_a_name_that_leads_elsewhere_is_no_study(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S3 takes any name, ".." too."""
    storage = storage_at(address)
    StudyFolder(storage, "digits").create(tiny_study())
    monkeypatch.setattr(Mirror, "names", lambda _: ["..", ".", "a b", "digits"])
    fetched = list[Path]()
    monkeypatch.setattr(Mirror, "fetch", lambda _, path: fetched.append(path))
    assert [found.name for found in list_studies(storage)] == ["digits"]
    assert fetched == [storage / "digits" / "study.yaml"]


def test_a_study_is_opened_without_reading_the_others(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage = storage_at(address)
    for name in ("digits", "pens"):
        folder = StudyFolder(storage, name)
        folder.create(tiny_study(f"name={name}"))
        folder.journal.write_bytes(b"x\n")
        publish_growth(folder.journal)
    other = on_another_machine(address, monkeypatch, tmp_path / "other")
    assert open_study(other, "digits").journal.read_bytes() == b"x\n"
    assert not (other / "pens").exists()
    with pytest.raises(InputError, match="did you mean 'pens'"):
        open_study(other, "pen")
    assert not (other / "pens" / "journal.jsonl").exists()


def test_a_storage_that_cannot_be_reached_is_one_sentence(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{taken.getsockname()[1]}"
        for address, said in {
            f"s3://bucket/x?endpoint_override={nobody}&scheme=http": "cannot be reached",
            "nonsense://bucket": "cannot be reached",
            "s3://": "names no bucket or folder",
            "file://host/studies": "is a folder of another machine, host",
            __file__: "is a file, and not a folder",
            f"file://{__file__}": "is a file, and not a folder",
            "s3://key:secret@bucket/x": "no credentials",
        }.items():
            status, printed = command("list", "--storage", address)
            assert status == 2
            assert said in printed
            assert printed.count("\n") == 1
            assert "key:secret" not in printed


def test_a_bucket_that_is_not_there(address: str, command: Command) -> None:
    status, printed = command("list", "--storage", address.replace("bucket/", "bukket/"))
    assert (status, printed.count("\n")) == (2, 1)
    assert "there is no bucket" in printed


def is_seen(folder: StudyFolder) -> bool:
    """Whether the trial that runs there and the line of its log are known here."""
    folder.refresh()
    found(folder.storage).fetch_growth(folder.log)
    live = read_status(folder)["live"]
    running = [trial["trial"] for trial in live["running"]] if live else []
    return running == ["t0000"] and folder.log.exists() and folder.log.read_text() == "a line\n"


def test_another_machine_sees_what_a_study_is_doing_and_reads_its_log(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    study = tiny_study()
    folder = StudyFolder(storage_at(address), study.name)
    folder.create(study)
    folder.journal.touch()
    monkeypatch.setattr(observer, "_SECONDS_ELSEWHERE", 0.05)
    with folder.lock(), Observer(study, folder, [], lambda: 0) as watching:
        watching(started("t0000"))
        folder.log.write_text("a line\n")
        other = StudyFolder(on_another_machine(address, monkeypatch, tmp_path / "b"), study.name)
        deadline = time.monotonic() + 30
        while not is_seen(other):
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.slow
@pytest.mark.drill
@pytest.mark.timeout(600)
def test_a_study_whose_storage_went_silent_is_gone_on_with_elsewhere(
    silenced: tuple[str, psutil.Process], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    command: Command,
) -> None:  # fmt: skip
    address, server = silenced
    running = start(address, *LONG, "resources.storage_seconds=5")
    here = storage_at(address)
    wait_for(here, lambda events: reports(events) >= 2)
    server.suspend()
    screen, _ = running.communicate(timeout=200)
    server.resume()
    assert running.returncode == 130, screen
    assert "The storage could not be written for" in screen
    assert f"--storage '{address}'" in screen
    assert "Traceback" not in screen
    shutil.rmtree(tmp_path / "cache")  # what this machine had is lost

    there = on_another_machine(address, monkeypatch, tmp_path / "other")
    folder = open_study(there, "digits")
    journal = folder.journal.read_bytes()
    assert reports(read_journal(folder.journal)) >= 1
    done = run_cli("resume", "digits", "--storage", address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert folder.journal.read_bytes().startswith(journal)
    assert {record.state for record in records(there).values()} <= {"complete", "pruned"}

    third = on_another_machine(address, monkeypatch, tmp_path / "third")
    of_it = ("digits", "--storage", address)
    status, printed = command("export", *of_it, "--output", tmp_path / "best")
    assert status == 0, printed
    assert (tmp_path / "best" / "pipeline").is_dir()
    assert command("report", *of_it)[0] == 0
    assert (third / "digits" / "real.png").exists()
    _, said = command("logs", *of_it)
    assert said.count("a session begins") == 2
    assert not found(third).found(third / "digits" / "trials", "checkpoint.pt")
