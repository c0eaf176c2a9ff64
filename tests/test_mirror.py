"""Storage elsewhere, on a real S3 interface: what is published, fetched, held and lost."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from tests.conftest import Command, run_cli, tiny_study
from tests.terminal.test_display import started
from tests.test_faults import LONG, records, reports, start, wait_for
from tune_diffreg import lease, mirror
from tune_diffreg.elsewhere import Elsewhere
from tune_diffreg.errors import InputError
from tune_diffreg.files import write_atomically
from tune_diffreg.mirror import (
    Mirror,
    fetch,
    mirror_of,
    publish_growth,
    shed,
    storage_at,
    withdraw,
)
from tune_diffreg.observation import Observer, observer, read_status
from tune_diffreg.results import StudyFolder, list_studies, open_study, read_journal
from tune_diffreg.results.journal import cut_torn_line
from tune_diffreg.search.checkpoint import (
    LATEST,
    load_checkpoint,
    remove_leftovers,
    save_checkpoint,
)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Where an S3 server on this machine answers."""
    running = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    yield f"{host}:{port}"
    running.stop()


@pytest.fixture
def address(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A storage that is new."""
    return new_storage(server, monkeypatch, tmp_path)


@pytest.fixture
def silenced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[tuple[str, psutil.Process]]:
    """The same, and the process that answers for it, which can be stopped from doing so."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            break
        assert time.monotonic() < until
        time.sleep(0.1)
    try:
        yield new_storage(f"127.0.0.1:{port}", monkeypatch, tmp_path), process
    finally:
        process.kill()
        process.wait()


def new_storage(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = tmp_path.name.replace("_", "-").lower()[:40].strip("-") + "-bucket"
    boto3.client("s3", endpoint_url=f"http://{server}").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/studies?endpoint_override={server}&scheme=http"


def on_another_machine(address: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return storage_at(address)


def write_lease(folder: StudyFolder, content: bytes) -> None:
    """As another machine would."""
    Elsewhere(found(folder.storage).address).write(f"{folder.name}/.lease", content)


def found(storage: Path) -> Mirror:
    mirror = mirror_of(storage)
    assert mirror is not None
    return mirror


def test_what_is_written_whole_is_there_for_others(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage = storage_at(address)
    assert mirror.address_of(storage) == address
    for name in ("study/best.yaml", "study/.hidden", "references/large", "file"):
        path = storage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, name)
    other = on_another_machine(address, monkeypatch, tmp_path / "other")
    for name in ("study/best.yaml", "study/.hidden", "references/large", "file"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        fetch(other / name)
    assert {p.name for p in other.rglob("*") if p.is_file()} == {".storage", "best.yaml"}
    assert (other / "study" / "best.yaml").read_text() == "study/best.yaml"
    withdraw(storage / "study" / "best.yaml")
    assert not (storage / "study" / "best.yaml").exists()


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=12), most=st.integers(1, 5))
def test_what_grows_is_the_same_elsewhere(
    address: str, pieces: list[bytes], most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "_MOST_PIECES", most)
        storage = on_another_machine(address, patch, tmp_path_factory.mktemp("one"))
        path = storage / "study" / tmp_path_factory.mktemp("x").name
        path.parent.mkdir(parents=True, exist_ok=True)
        for piece in pieces:
            with path.open("ab") as file:
                file.write(piece)
            publish_growth(path)
        other = on_another_machine(address, patch, tmp_path_factory.mktemp("two"))
        copy = other / path.relative_to(storage)
        found(other).fetch_growth(copy)
        assert copy.exists() == bool(pieces)
        if pieces:
            assert copy.read_bytes() == path.read_bytes() == b"".join(pieces)
            # It goes on there, and the first machine takes what it had not.
            with copy.open("ab") as file:
                file.write(b"more")
            publish_growth(copy)
            found(storage).fetch_growth(path)
            assert path.read_bytes() == copy.read_bytes()


def test_what_this_machine_alone_knows_is_kept(address: str) -> None:
    storage = storage_at(address)
    path = storage / "study" / "journal.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"first\n")
    publish_growth(path)
    path.write_bytes(b"first\nsecond\n")  # and the machine went down before it was published
    found(storage).fetch_growth(path)
    assert path.read_bytes() == b"first\nsecond\n"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leases are renewed, watched and given up within seconds."""
    for name, seconds in {"_LEASE": 5.0, "_RENEWED": 0.4, "_PAUSE": 0.2}.items():
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


def test_a_copy_that_is_no_growth_of_what_was_published_is_not_published(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage = storage_at(address)
    path = storage / "study" / "journal.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"first\n")
    publish_growth(path)
    other = on_another_machine(address, monkeypatch, tmp_path / "other") / "study" / path.name
    other.parent.mkdir()
    for stale in (b"another\n", b""):
        other.write_bytes(stale)
        with pytest.raises(OSError, match="another machine has gone on"):
            publish_growth(other)


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


def test_what_a_machine_kept_of_old_trials_is_shed_and_fetched_again(address: str) -> None:
    storage = storage_at(address)
    folder = StudyFolder(storage, "digits")
    for trial in ("t0000", "t0001"):
        folder.trial(trial).mkdir(parents=True)
        save_checkpoint(folder.trial(trial), {"step": trial})
    old = folder.trial("t0000") / LATEST
    os.utime(old, (1e9, 1e9))
    shed(folder.root / "trials")
    assert [p.parent.name for p in storage.rglob(LATEST)] == ["t0001"]
    assert load_checkpoint(folder.trial("t0000")) == {"step": "t0000"}
    shutil.rmtree(folder.root / "trials")  # of a machine that a killed driver did not see
    remove_leftovers(folder.root, {"t0000"})
    trials = folder.root / "trials"
    assert found(storage).found(trials, LATEST) == [folder.trial("t0001") / LATEST]


def test_a_folder_keeps_what_is_old(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    os.utime(tmp_path / "old", (1e9, 1e9))
    shed(tmp_path)
    assert (tmp_path / "old").exists()


@pytest.fixture
def cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease is not renewed any more once it was taken, and lapses after two seconds."""
    for name, seconds in {"_LEASE": 2.0, "_RENEWED": 1e6, "_PAUSE": 0.1}.items():
        monkeypatch.setattr(lease, f"{name}_SECONDS", seconds)


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


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_study_whose_storage_went_silent_is_gone_on_with_elsewhere(
    silenced: tuple[str, psutil.Process], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
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
    done = run_cli("export", "digits", "--storage", address, "--output", tmp_path / "best")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "best" / "pipeline").is_dir()
    assert run_cli("report", "digits", "--storage", address).returncode == 0
    assert (third / "digits" / "real.png").exists()
    said = run_cli("logs", "digits", "--storage", address).stdout
    assert said.count("a session begins") == 2
    assert not found(third).found(third / "digits" / "trials", "checkpoint.pt")


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
