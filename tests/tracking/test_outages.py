"""A real MLflow server that dies, hangs, fills up or refuses: no trial waits, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.conftest import Command, tiny_study
from tests.search.test_coordinator import coordinator, play, scores
from tests.test_faults import records, reports, start, wait_for
from tests.tracking.contents import by_name, contents
from tests.tracking.server import Server, wait_until
from tune_diffreg.results import StudyFolder, read_journal, read_state
from tune_diffreg.study import Study
from tune_diffreg.tracking import Follower, Outcome, local_uri, study_delivery

pytestmark = pytest.mark.slow

# What no trial of these tests may take, and what waiting for one request to a halted server would.
_INSTANTLY_SECONDS, _TIMEOUT_SECONDS = 40.0, 60.0


@pytest.fixture(scope="module")
def one_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.kill()


@pytest.fixture
def server(one_server: Server) -> Server:
    one_server.start()
    return one_server


def tracked(server: Server, name: str, *overrides: str) -> Study:
    uri = f"tracking.uri='{server.uri}'"
    return tiny_study(f"name={name}", "search.trials=6", uri, *overrides)


def played(storage: Path, study: Study, stop_after: int | None = None) -> float:
    """Runs the study's trials, or some; how many seconds that took."""
    begun = time.monotonic()
    subject = coordinator(storage, study)
    play(subject, study, stop_after)
    if stop_after is None:
        subject.close(subject.finished)
    return time.monotonic() - begun


def delivered_later(study: Study, folder: StudyFolder) -> Outcome:
    follower = Follower(study_delivery(study, folder, live=False))
    return follower.close(read_state(folder), seconds=None)


def is_complete(server: Server, folder: StudyFolder) -> None:
    """Compares with what a store has that was told everything at once and never failed."""
    calm = folder.read_study().model_copy(update={"tracking": tiny_study().tracking})
    assert delivered_later(calm, folder).problem == ""
    expected = by_name(contents(local_uri(folder.storage), folder.name))
    assert by_name(server.contents(folder.name)) == expected
    assert len(expected) == 7


def test_a_server_that_is_killed_and_started_again(server: Server, tmp_path: Path) -> None:
    study = tracked(server, "killed")
    folder = StudyFolder(tmp_path, study.name)
    played(tmp_path, study, stop_after=4)
    follower = Follower(study_delivery(study, folder))
    wait_until(lambda: follower.waiting == 0, 60)
    before = server.contents(study.name)
    server.kill()
    assert played(tmp_path, study, stop_after=9) < _INSTANTLY_SECONDS
    assert follower.waiting > 0
    server.start()
    played(tmp_path, study)
    outcome = follower.close(read_state(folder), seconds=100)
    assert (outcome.problem, outcome.waiting, outcome.refused) == ("", 0, 0)
    # Those that were there are those that were gone on with.
    assert before.keys() <= server.contents(study.name).keys()
    folder.delivery.unlink()
    is_complete(server, folder)


def test_a_server_that_does_not_answer_for_a_while(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", str(int(_TIMEOUT_SECONDS)))
    study = tracked(server, "halted")
    folder = StudyFolder(tmp_path, study.name)
    played(tmp_path, study, stop_after=1)
    follower = Follower(study_delivery(study, folder))
    wait_until(lambda: follower.waiting == 0, 60)
    server.halt()
    assert played(tmp_path, study) < _INSTANTLY_SECONDS
    begun = time.monotonic()
    outcome = follower.close(read_state(folder), seconds=3)
    assert time.monotonic() - begun < _INSTANTLY_SECONDS
    assert outcome.problem == "it took longer than 3 seconds"
    assert outcome.waiting > 0

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    outcome = delivered_later(study, folder)
    assert outcome.problem == "Read timed out. (read timeout=1)"
    assert outcome.waiting > 0
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
    server.go_on()
    follower._thread.join(100)  # as it would not have in a process that had ended
    outcome = delivered_later(study, folder)
    assert (outcome.problem, outcome.waiting) == ("", 0)
    folder.delivery.unlink()
    is_complete(server, folder)


def test_requests_that_seemed_lost_leave_no_copies(server: Server, tmp_path: Path) -> None:
    """A server may carry out late what it was asked, when the same was asked for again."""
    study = tracked(server, "copied")
    folder = StudyFolder(tmp_path, study.name)
    played(tmp_path, study, stop_after=2)  # before there is a best
    assert delivered_later(study, folder).problem == ""
    client, before = MlflowClient(server.uri), server.contents(study.name)
    (experiment,) = {client.get_run(run).info.experiment_id for run in before}
    for run in before:
        tags = client.get_run(run).data.tags
        client.create_run(experiment, tags=tags, start_time=1)
    played(tmp_path, study)
    assert delivered_later(study, folder).problem == ""
    assert before.keys() <= server.contents(study.name).keys()
    folder.delivery.unlink()
    is_complete(server, folder)


def test_a_store_that_is_full(server: Server, tmp_path: Path) -> None:
    study = tracked(server, "full")
    folder = StudyFolder(tmp_path, study.name)
    played(tmp_path, study, stop_after=1)
    assert delivered_later(study, folder).problem == ""
    server.fill_up()
    played(tmp_path, study)
    outcome = delivered_later(study, folder)
    assert outcome.problem
    assert outcome.waiting > 0
    assert outcome.refused == 0
    server.empty()
    outcome = delivered_later(study, folder)
    assert (outcome.problem, outcome.waiting, outcome.refused) == ("", 0, 0)
    is_complete(server, folder)


def test_a_value_that_is_refused_holds_nothing_up(
    server: Server, command: Command, tmp_path: Path
) -> None:
    study = tracked(server, "refused", "search.baselines={}")
    subject = coordinator(tmp_path, study)
    odd = {"..": 1.0, "größe (µm²)": 2.0}
    while (trial := subject.next_trial()) is not None:
        for rung in study.rungs():
            if not subject.report(trial.trial_id, rung, 1.0, scores(50) | odd).goes_on:
                break
    subject.close(subject.finished)
    folder = StudyFolder(tmp_path, study.name)
    refused = reports(read_journal(folder.journal))
    for _ in range(2):
        status, printed = command("sync", "refused", "--storage", tmp_path)
        assert status == 0, printed
        file = tmp_path / "refused" / "mlflow-refused.jsonl"
        assert printed.endswith(f"none waits; MLflow refused {refused} values: {file}\n")
        assert printed.count("\n") == 1
    told = read_journal(file)
    assert len(told) == refused
    assert ("t0000", "metric .. = 1.0 at 320") in {(e["run"], e["what"]) for e in told}
    assert all("must not resolve to other names" in event["reason"] for event in told)
    found = server.contents(study.name)
    counted = [len(run["metrics"].get("fd_digits_cnn", [])) for run in found.values()]
    assert sum(counted) == refused
    assert any("größe _µm²_" in run["metrics"] for run in found.values())


def test_a_study_whose_server_dies_ends_normally_and_is_delivered_later(
    server: Server, command: Command, tmp_path: Path
) -> None:
    """The whole thing, on Ray: with results and the model."""
    storage = tmp_path / "runs"
    running = start(storage, "search.trials=2", f"tracking.uri='{server.uri}'")
    wait_for(storage, lambda events: reports(events) >= 1)
    server.kill()
    screen, _ = running.communicate(timeout=200)
    assert running.returncode == 0, screen
    assert "records wait. Deliver later with:  tune-diffreg sync digits --storage" in screen
    assert {record.state for record in records(storage).values()} <= {"complete", "pruned"}

    server.start()
    status, printed = command("sync", "digits", "--storage", storage)
    assert status == 0, printed
    assert printed.endswith(" records delivered, none waits\n")
    client, once = MlflowClient(server.uri), server.contents("digits")
    champion = client.get_model_version_by_alias("digits", "champion")
    states = {r["tags"]["trial_id"]: r["tags"]["trial_state"] for r in once.values()
              if "trial_id" in r["tags"]}  # fmt: skip
    assert states == {record.id: record.state for record in records(storage).values()}
    again = command("sync", "digits", "--storage", storage)
    assert again == (0, "digits: 0 records delivered, none waits\n")
    assert server.contents("digits") == once
    assert client.get_model_version_by_alias("digits", "champion").version == champion.version
