"""Bringing the journal to a real MLflow store: once, again, and when it does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg.results import StudyFolder, read_journal
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
