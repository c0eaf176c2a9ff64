"""Bringing the journal to a real MLflow store: once, again, and when it does not answer."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, play
from tests.tracking.contents import by_name, contents
from tune_diffreg.results import StudyFolder, read_journal, read_state
from tune_diffreg.results.folder import SAMPLES
from tune_diffreg.study import Study
from tune_diffreg.tracking import Follower, Spool, local_uri, study_delivery
from tune_diffreg.tracking.delivery import Delivery


@pytest.fixture
def journaled(tmp_path: Path) -> tuple[Study, StudyFolder]:
    study = tiny_study("search.trials=4")
    subject = coordinator(tmp_path, study)
    play(subject, study)
    subject.close(subject.finished)
    return study, StudyFolder(tmp_path, study.name)


def stored(folder: StudyFolder) -> list[tuple[str, str, int]]:
    """Name, state and number of values of one metric for every run."""
    client = MlflowClient(local_uri(folder.storage))
    experiment = client.get_experiment_by_name(folder.name)
    assert experiment is not None
    return sorted(
        (
            run.info.run_name,
            run.data.tags.get("trial_state", ""),
            len(client.get_metric_history(run.info.run_id, "fd_digits_cnn")),
        )
        for run in client.search_runs([experiment.experiment_id])
    )


def test_twice_is_the_same_as_once(journaled: tuple[Study, StudyFolder]) -> None:
    study, folder = journaled
    Delivery(study, folder).deliver()
    once = stored(folder)
    assert len(once) == 5
    Delivery(study, folder).deliver()
    assert stored(folder) == once
    folder.delivery.unlink()  # as if the process had died before it noted what it had sent
    Delivery(study, folder).deliver()
    assert stored(folder) == once


def test_a_delivery_that_breaks_off_is_gone_on_with(
    journaled: tuple[Study, StudyFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = journaled
    calls = iter(range(100))
    log_batch = MlflowClient.log_batch

    def sometimes(*arguments: object, **named: object) -> None:
        if next(calls) == 4:
            raise ConnectionError("the server went away")
        log_batch(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(MlflowClient, "log_batch", sometimes)
    spool = Spool(folder.journal, folder.delivery)
    delivery = Delivery(study, folder)
    with pytest.raises(ConnectionError):
        delivery.deliver()
    assert spool.waiting() > 0
    delivery = Delivery(study, folder)
    delivery.deliver()
    assert spool.waiting() == 0
    monkeypatch.undo()
    broken = stored(folder)
    assert len(broken) == 5
    assert {state for _, state, _ in broken} <= {"", "complete", "pruned"}


def test_a_server_that_does_not_answer_costs_a_sentence(
    journaled: tuple[Study, StudyFolder],
) -> None:
    _, folder = journaled
    nobody = tiny_study("search.trials=4", "tracking.uri='http://127.0.0.1:9'")
    outcome = Follower(study_delivery(nobody, folder)).close(None, seconds=120)
    (sentence,) = outcome.sentences("later")
    assert sentence.startswith("MLflow has not taken everything (")
    assert sentence.endswith("records wait. Deliver later with:  later")
    assert "\n" not in sentence


class _Answering(BaseHTTPRequestHandler):
    """Answers everything alike, as a proxy does whose server is gone or full."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(b"<html>no</html>")

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 503, 507])
def test_whatever_a_server_answers_to_everything_is_an_outage(
    journaled: tuple[Study, StudyFolder], status: int
) -> None:
    _, folder = journaled
    waiting = Spool(folder.journal, folder.delivery).owed()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as proxy:
        proxy.status = status  # type: ignore[attr-defined]
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        uri = f"tracking.uri='http://127.0.0.1:{proxy.server_port}'"
        follower = Follower(study_delivery(tiny_study("search.trials=4", uri), folder))
        outcome = follower.close(read_state(folder))
        proxy.shutdown()
    assert str(status) in outcome.problem
    assert (outcome.delivered, outcome.waiting, outcome.refused) == (0, waiting, 0)


def test_a_store_that_refuses_also_what_it_has_taken_is_an_outage(
    journaled: tuple[Study, StudyFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = journaled
    spool = Spool(folder.journal, folder.delivery)

    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("no more of that", INVALID_PARAMETER_VALUE)

    monkeypatch.setattr(MlflowClient, "log_batch", refuse)
    with pytest.raises(ConnectionError, match="no more of that"):
        Delivery(study, folder, spool).deliver()
    assert spool.refused() == 0
    monkeypatch.undo()
    Delivery(study, folder, spool).deliver()
    assert spool.waiting() == 0
    assert len(stored(folder)) == 5


def test_a_run_that_is_refused_costs_no_other(
    journaled: tuple[Study, StudyFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = journaled
    create_run = MlflowClient.create_run

    def choosy(client: MlflowClient, *given: Any, **named: Any) -> Any:
        if named["run_name"].startswith("t0002"):
            raise MlflowException("not this one", INVALID_PARAMETER_VALUE)
        return create_run(client, *given, **named)

    monkeypatch.setattr(MlflowClient, "create_run", choosy)
    spool = Spool(folder.journal, folder.delivery)
    for _ in range(2):
        Delivery(study, folder, spool).deliver()
        assert spool.waiting() == 0
    names = {name.split(":")[0] for name, *_ in stored(folder)}
    assert names == {"digits", "t0000 unregularized", "t0001 published", "t0003"}
    told = read_journal(spool.refusals)
    assert {event["run"] for event in told} == {"t0002"}
    about = sum("t0002" in (e.get("trial"), e.get("run")) for e in read_journal(folder.journal))
    assert spool.refused() == len(told) == about


def test_no_room_for_files_does_not_hold_records_up(
    journaled: tuple[Study, StudyFolder],
) -> None:
    study, folder = journaled
    folder.trial("t0001").mkdir(parents=True)
    folder.of_trial("t0001", SAMPLES).write_bytes(b"an image")
    artifacts = folder.storage / "mlflow-artifacts"
    artifacts.write_text("in the way")
    spool = Spool(folder.journal, folder.delivery)
    with pytest.raises(OSError):
        Delivery(study, folder, spool).deliver()
    assert spool.waiting() == 0
    assert spool.owed() == 1
    assert len(stored(folder)) == 5
    artifacts.unlink()
    Delivery(study, folder, spool).deliver()
    (run,) = [r for r in contents(local_uri(folder.storage), "digits").values()
              if r["tags"].get("trial_id") == "t0001"]  # fmt: skip
    assert run["files"] == [SAMPLES]


def test_what_one_store_was_told_another_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when MLFLOW_TRACKING_URI names one server today, another tomorrow, and the first again."""
    monkeypatch.chdir(tmp_path)  # where MLflow keeps the files of such a store
    study = tiny_study("search.trials=4")
    folder = StudyFolder(tmp_path, study.name)
    stores = [f"sqlite:///{tmp_path}/{name}.db" for name in ("first", "second")]
    for stop_after, told in ((2, stores[:1]), (4, stores[1:]), (None, stores)):
        subject = coordinator(tmp_path, study)
        play(subject, study, stop_after)
        if stop_after is None:
            subject.close(subject.finished)
        for uri in told:
            Delivery(tiny_study("search.trials=4", f"tracking.uri='{uri}'"), folder).deliver()
    first, second = (by_name(contents(uri, "digits")) for uri in stores)
    assert len(first) == 5
    assert first == second


def test_a_run_that_was_deleted_in_mlflow_is_made_again_when_its_trial_goes_on(
    tmp_path: Path,
) -> None:
    study = tiny_study("search.trials=4")
    play(coordinator(tmp_path, study), study, stop_after=4)
    folder = StudyFolder(tmp_path, study.name)
    Delivery(study, folder).deliver()
    client = MlflowClient(local_uri(tmp_path))
    running = [(run_id, run) for run_id, run in contents(local_uri(tmp_path), "digits").items()
               if run["tags"].get("trial_state") == "running"]  # fmt: skip
    ((run_id, deleted),) = running
    client.delete_run(run_id)
    subject = coordinator(tmp_path, study)
    play(subject, study)
    subject.close(subject.finished)
    Delivery(study, folder).deliver()
    found = {run["name"]: run for run in contents(local_uri(tmp_path), "digits").values()}
    assert len(found) == 5
    assert found[deleted["name"]]["params"] == deleted["params"]


def test_what_waits_together_is_sent_together(
    journaled: tuple[Study, StudyFolder], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, folder = journaled
    requests = []
    log_batch = MlflowClient.log_batch

    def counted(client: MlflowClient, run: str, *content: Any, **named: Any) -> None:
        requests.append(run)
        log_batch(client, run, *content, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", counted)
    monkeypatch.setattr("tune_diffreg.tracking.store._MOST_ENTRIES", 5)
    Delivery(study, folder).deliver()
    together = stored(folder)
    reports = sum(event["event"] == "report" for event in read_journal(folder.journal))
    assert len(set(requests)) == 5
    monkeypatch.undo()

    slow = StudyFolder(tmp_path / "slow", study.name)
    slow.create(study)
    lines = folder.journal.read_bytes().splitlines(keepends=True)
    for number in range(1, len(lines) + 1):  # as they come while a study runs
        slow.journal.write_bytes(b"".join(lines[:number]))
        Delivery(study, slow).deliver()
    assert stored(slow) == together
    assert sum(values for *_, values in together) == reports
