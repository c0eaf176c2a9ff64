"""What the service commands refuse: one sentence, exit status 2, nothing started."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.conftest import DIGITS, Command, tiny_study
from tests.test_bad_input import sentence, settings
from tune_diffreg.errors import InputError
from tune_diffreg.jobs import admit, readmit
from tune_diffreg.jobs.client import Cluster
from tune_diffreg.results import Journal, StudyFolder


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@pytest.fixture
def other_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A web server that is no Ray."""
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        (["--storage", "runs"], "--storage runs: on a cluster it must be an absolute path"),
        (["--storage", "s3://key:secret@bucket/x"], "an address holds no credentials"),
    ],
)
def test_a_storage_that_a_cluster_cannot_use(
    command: Command, nobody: str, storage: list[str], expected: str
) -> None:
    status, printed = command("submit", DIGITS, "--address", nobody, *storage)
    assert status == 2
    assert expected in sentence(printed)
    assert "key:secret" not in printed


def test_a_mistake_in_the_file_is_seen_before_the_cluster_is_asked(
    command: Command, nobody: str
) -> None:
    wrong = settings("trainng.images=3")
    there = ["--address", nobody, "--storage", "/mnt/studies"]
    status, printed = command("submit", DIGITS, *there, *wrong)
    assert status == 2
    assert "there is no such setting" in sentence(printed)


@pytest.mark.parametrize("verb", ["submit", "status", "logs", "stop", "resume", "list"])
def test_an_address_at_which_nothing_is(command: Command, nobody: str, verb: str) -> None:
    about = {"submit": [str(DIGITS), "--storage", "/mnt/studies"], "list": []}
    status, printed = command(verb, *about.get(verb, ["digits"]), "--address", nobody)
    assert status == 2
    assert f"nothing answers at {nobody}" in sentence(printed)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("auto", "--address auto: give the address of the cluster's Jobs API"),
        ("127.0.0.1:8265", "give the address of the cluster's Jobs API"),
        ("http://:8265", "give the address of the cluster's Jobs API"),
        ("http://host:port", "give the address of the cluster's Jobs API"),
        ("http://me:token@127.0.0.1:1", "--address: holds no credentials"),
    ],
)
def test_an_address_that_is_none(command: Command, address: str, expected: str) -> None:
    status, printed = command("status", "digits", "--address", address)
    assert status == 2
    assert expected in sentence(printed)


def test_a_server_that_is_no_jobs_api(command: Command, other_server: str) -> None:
    status, printed = command("list", "--address", other_server)
    assert status == 2
    assert f"{other_server} is no Jobs API that answers" in sentence(
        printed.splitlines()[-1] + "\n"
    )


def test_a_driver_on_this_machine_takes_no_jobs_api(command: Command, nobody: str) -> None:
    status, printed = command("run", DIGITS, "--address", nobody)
    assert status == 2
    assert "is that of a Jobs API, which `submit` and `resume` take" in sentence(printed)


def test_a_name_is_free_for_the_same_study_until_it_ends(tmp_path: Path) -> None:
    study, folder = tiny_study(), StudyFolder(tmp_path, "digits")
    assert admit(study, tmp_path) == str(tmp_path)
    assert not folder.root.exists()
    with pytest.raises(InputError, match="no study 'digits' in"):
        readmit("digits", tmp_path)
    folder.create(study)
    assert admit(study, tmp_path) == readmit("digits", tmp_path) == str(tmp_path)
    with pytest.raises(InputError, match="made from another file; go on with that one by"):
        admit(tiny_study("search.seed=9"), tmp_path)
    with folder.lock(), pytest.raises(InputError, match="'digits' runs already"):
        readmit("digits", tmp_path)
    journal = Journal(folder.journal)
    journal.append("stop", finished=True)
    with pytest.raises(InputError, match="'digits' has ended already"):
        admit(study, tmp_path)


def test_a_cluster_that_names_no_storage_must_be_told_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    StudyFolder(Path("runs"), "digits").create(tiny_study())  # it happens to be there
    for asked in (partial(admit, tiny_study("search.seed=9")), partial(readmit, "digits")):
        with pytest.raises(InputError, match="--storage is missing, and the cluster names none"):
            asked(Path("runs"))


def test_two_who_submit_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Taken:
        """Ray's client, whose server has the job by the time that it is sent."""

        def __init__(self, _: str) -> None:
            pass

        def submit_job(self, submission_id: str, **_: Any) -> None:
            raise RuntimeError(
                "Request failed with status code 500: Traceback (most recent call last):\n"
                f"ValueError: Job with submission_id {submission_id} already exists. Please use a "
                "different submission_id.\n."
            )

    monkeypatch.setattr("ray.job_submission.JobSubmissionClient", Taken)
    monkeypatch.setattr("tune_diffreg.jobs.client.require_jobs_address", lambda _: None)
    with pytest.raises(InputError, match="somebody else has just started the same study"):
        Cluster("http://here").submit("tune-diffreg-digits", "true", None)
