"""`list` of a cluster: one storage that cannot be read hides no other."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from tune_diffreg.errors import InputError
from tune_diffreg.jobs import remote
from tune_diffreg.jobs.answers import Answer
from tune_diffreg.jobs.client import StudyJob

GONE = Answer(2, "", "tune-diffreg: --storage s3://gone: cannot be reached (no bucket)\n", None)
DIGITS = {"study": "digits", "state": "complete", "trials": {"total": 2}}


class TwoStorages:
    """A cluster whose own storage is there, and one that a study was submitted with is not."""

    def __init__(self, address: str) -> None:
        self.address = address

    def jobs(self) -> list[StudyJob]:
        return [
            StudyJob("digits", "/own", 1, status="succeeded"),
            StudyJob("pens", "s3://gone", 1, status="failed"),
            StudyJob("starts", "/own", 1, status="running"),
        ]

    def log(self, _: str) -> str:
        return "reading images"


def answer(_: Any, command: Sequence[str]) -> Answer:
    if "s3://gone" in command:
        return GONE
    return Answer(0, json.dumps([DIGITS]), "", "/own")


@pytest.fixture(autouse=True)
def _imitated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "Cluster", TwoStorages)
    monkeypatch.setattr(remote, "ask", answer)


def test_studies_in_a_storage_that_is_gone_are_told_of_with_the_reason() -> None:
    rows = {row["study"]: row for row in remote.studies_there("http://here", None)}
    assert rows["digits"]["state"] == "complete"
    assert rows["pens"]["state"] == "unknown"
    assert rows["pens"]["reason"] == "--storage s3://gone: cannot be reached (no bucket)"
    assert rows["pens"]["job"]["status"] == "failed"
    assert (rows["starts"]["state"], rows["starts"]["reason"]) == ("starting", "reading images")


def test_the_storage_that_was_asked_for_has_to_be_there() -> None:
    with pytest.raises(InputError, match="cannot be reached"):
        remote.studies_there("http://here", "s3://gone")
