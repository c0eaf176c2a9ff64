"""`tune-diffreg sync`: what MLflow lacks of a study is delivered later, and told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Command, run_cli, tiny_study
from tests.search.test_coordinator import coordinator, play
from tests.tracking.contents import contents
from tune_diffreg.results import StudyFolder, read_journal
from tune_diffreg.tracking import Spool, local_uri


def studied(storage: Path, *overrides: str, stop_after: int | None = None) -> StudyFolder:
    """A study whose journal is there and of which MLflow knows nothing."""
    study = tiny_study("search.trials=4", *overrides)
    subject = coordinator(storage, study)
    play(subject, study, stop_after)
    if stop_after is None:
        subject.close(subject.finished)
    return StudyFolder(storage, study.name)


@pytest.mark.parametrize(
    ("stop_after", "status"), [(None, "FINISHED"), (3, "KILLED")], ids=["complete", "killed"]
)
def test_twice_is_the_same_as_once(
    command: Command, tmp_path: Path, stop_after: int | None, status: str
) -> None:
    folder = studied(tmp_path, stop_after=stop_after)
    records = len(read_journal(folder.journal)) + 1  # and the results
    asked = ("sync", "digits", "--storage", tmp_path)
    assert command(*asked) == (0, f"digits: {records} records delivered, none waits\n")
    once = contents(local_uri(tmp_path), "digits")
    parents = [run for run in once.values() if "mlflow.parentRunId" not in run["tags"]]
    assert [run["status"] for run in parents] == [status]
    assert command(*asked) == (0, "digits: 0 records delivered, none waits\n")
    assert contents(local_uri(tmp_path), "digits") == once
    folder.delivery.unlink()  # as if what was delivered had never been noted
    printed = json.loads(command(*asked, "--json")[1])
    assert printed == {"study": "digits", "delivered": records, "waiting": 0, "refused": 0,
                       "refusals": None}  # fmt: skip
    assert contents(local_uri(tmp_path), "digits") == once


def test_a_study_in_which_all_trials_failed_is_delivered(command: Command, tmp_path: Path) -> None:
    study = tiny_study("search.trials=2", "search.baselines={}")
    subject = coordinator(tmp_path, study)
    while (assignment := subject.next_trial()) is not None:
        subject.fail(assignment.trial_id, "no luck \0 \udc80 at all")
    subject.close(subject.finished)
    status, printed = command("sync", "digits", "--storage", tmp_path)
    assert status == 0, printed
    runs = contents(local_uri(tmp_path), "digits").values()
    assert [run["status"] for run in runs] == ["FAILED"] * 3
    reasons = {run["tags"]["reason"] for run in runs if "reason" in run["tags"]}
    assert reasons == {"no luck � ? at all"}


@pytest.mark.slow
def test_a_store_that_was_lost_is_filled_again(command: Command, tmp_path: Path) -> None:
    folder = studied(tmp_path)
    assert command("sync", "digits", "--storage", tmp_path)[0] == 0
    before = len(contents(local_uri(tmp_path), "digits"))
    (tmp_path / "mlflow.db").unlink()
    done = run_cli("sync", "digits", "--storage", tmp_path)  # this process has the old one open
    records = len(read_journal(folder.journal)) + 1
    assert done.stdout == f"digits: {records} records delivered, none waits\n", done.stderr
    assert len(contents(local_uri(tmp_path), "digits")) == before


@pytest.mark.parametrize(
    "damage",
    [b"", b"\xff\x00", b"[]", b"17", b'{"records": "all"}', b'{"records": -5}', b'{"records": 0.5}',
     b'{"records": 1000000000}', b'{"more": 1}', b'{"records": [[[[', b'{"records": true}'],
)  # fmt: skip
def test_a_damaged_position_is_the_beginning(tmp_path: Path, damage: bytes) -> None:
    folder = studied(tmp_path)
    folder.delivery.write_bytes(damage)
    spool = Spool(folder.journal, folder.delivery)
    assert spool.waiting() == len(read_journal(folder.journal))


def test_no_server_is_one_sentence_and_nothing_is_lost(command: Command, tmp_path: Path) -> None:
    folder = studied(tmp_path, "tracking.uri='http://127.0.0.1:9'")
    status, printed = command("sync", "digits", "--storage", tmp_path)
    assert status == 1
    assert printed.startswith("tune-diffreg: MLflow has not taken everything (Failed to establish")
    assert "Connection refused" in printed
    records = len(read_journal(folder.journal)) + 1
    assert printed.endswith(f": 0 records delivered, {records} wait\n")
    assert printed.count("\n") == 1


def test_a_study_that_is_not_there_or_is_being_run(command: Command, tmp_path: Path) -> None:
    folder = studied(tmp_path)
    status, printed = command("sync", "digit", "--storage", tmp_path)
    assert status == 2
    assert "no study 'digit'" in printed
    assert "did you mean 'digits'?" in printed
    with folder.lock():
        status, printed = command("sync", "digits", "--storage", tmp_path)
    assert (status, printed) == (
        2, "tune-diffreg: study 'digits' is being run by another process\n"
    )  # fmt: skip
    assert not folder.delivery.exists()


def test_a_study_that_has_not_begun_has_nothing_to_deliver(
    command: Command, tmp_path: Path
) -> None:
    StudyFolder(tmp_path, "digits").create(tiny_study())
    assert command("sync", "digits", "--storage", tmp_path) == (
        0, "digits: 0 records delivered, none waits\n"
    )  # fmt: skip
