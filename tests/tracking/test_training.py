"""A production training's history in MLflow: once, again, and when MLflow was away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Command, tiny_study
from tests.search.test_coordinator import scores
from tests.tracking.contents import contents
from tune_diffreg.results import Best, Journal, RungReport, TrialRecord
from tune_diffreg.results.best_config import best_config
from tune_diffreg.results.formats import to_yaml
from tune_diffreg.tracking import Follower, Outcome, local_uri, training_delivery

_RECORDS = 7


@pytest.fixture
def best() -> Best:
    study = tiny_study()
    record = TrialRecord("t0003", {"regularization.residual_dropout": 0.25})
    record.reports.append(RungReport(1280, 1.0, scores(40), "complete"))
    return Best.model_validate(best_config(study, record, {"data_sha256": "abc"}))


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """Of a training that was interrupted, gone on with and scored twice."""
    path = tmp_path / ".trained.training" / "history.jsonl"
    path.parent.mkdir()
    journal = Journal(path)
    for images in (0, 640):
        journal.append("session", images=images, data_sha256="abc")
        journal.append("scored", images=images + 640, seconds=2.0, scores=scores(50))
        journal.append("stopped", images=images + 640)
    journal.append("complete", images=1280)
    return path


def delivered(best: Best, history: Path, storage: Path) -> Outcome:
    follower = Follower(training_delivery(best, history, storage, live=False))
    return follower.close({"state": "complete"}, seconds=None)


def test_twice_is_the_same_as_once_also_after_an_outage(
    best: Best, history: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    outcome = delivered(best, history, tmp_path)
    assert (outcome.delivered, outcome.waiting) == (0, _RECORDS + 1)
    (sentence,) = outcome.sentences("the same command")
    assert sentence.endswith("8 records wait. Deliver later with:  the same command")

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    outcome = delivered(best, history, tmp_path)
    assert (outcome.delivered, outcome.waiting) == (_RECORDS + 1, 0)
    assert outcome.sentences("the same command") == []
    once = contents(local_uri(tmp_path), "digits")
    (run,) = once.values()
    assert run["status"] == "FINISHED"
    assert run["params"]["regularization.residual_dropout"] == "0.25"
    assert [step for step, *_ in run["metrics"]["fd_digits_cnn"]] == [640, 1280]
    for damage in ("", '{"records": 3'):
        assert delivered(best, history, tmp_path).delivered == 0
        assert contents(local_uri(tmp_path), "digits") == once
        history.with_name("mlflow.json").write_text(damage)
        assert delivered(best, history, tmp_path).delivered == _RECORDS + 1
        assert contents(local_uri(tmp_path), "digits") == once


@pytest.mark.slow
def test_the_same_command_delivers_what_waits_and_trains_nothing(
    best: Best, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, output, kept = tmp_path / "best.yaml", tmp_path / "away", tmp_path / ".away.training"
    file.write_text(to_yaml(best.model_dump(mode="json", by_alias=True)))
    asked = ("train", file, "--output", output, "--storage", tmp_path, "--scores", "2",
             "--set", "training.images=320")  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    histories = set()
    for _ in range(2):
        status, printed = command(*asked)
        assert status == 0, printed
        assert "records wait. Deliver later with:  the same command" in printed
        assert (output / "pipeline").is_dir()
        assert {path.name for path in kept.iterdir()} == {".lock", "best.yaml", "history.jsonl"}
        histories.add((kept / "history.jsonl").read_text())
    assert len(histories) == 1

    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    status, printed = command(*asked)
    assert status == 0, printed
    assert "MLflow" not in printed
    assert not kept.exists()
    (run,) = contents(local_uri(tmp_path), "digits").values()
    assert run["status"] == "FINISHED"
    assert [step for step, *_ in run["metrics"]["memorized_fraction"]] == [160, 320]
    assert "model/best.yaml" in run["files"]
    status, printed = command(*asked)
    assert status == 2
    assert "exists already" in printed
