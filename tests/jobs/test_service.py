"""A study on a real cluster with a token, driven from outside of it through the Jobs API."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import DIGITS, TINY
from tests.diffusion.test_model import SOURCE
from tests.jobs.cluster import LocalCluster, local_cluster
from tests.test_faults import journal, records, reports, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

# Two trials of a small model of one's own, long enough to be stopped in their middle.
SETTINGS = [
    *TINY, "search.trials=2", "training.images=160000", "halving.first_rung=8000",
    "model={in_channels: 1, sample_size: 8, factory: 'own_models:good', arguments: {width: 16}}",
    "search.space={regularization.residual_dropout: {low: 0.0, high: 0.5}}",
]  # fmt: skip
STUDY = [part for text in SETTINGS for part in ("--set", text)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    home = tmp_path_factory.mktemp("laptop")
    (home / "own_models.py").write_text(SOURCE)  # the cluster has it from there alone
    with local_cluster(home, tmp_path_factory.mktemp("cluster") / "runs") as running:
        yield running


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a command that refused what it was given."""
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.startswith("tune-diffreg: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_a_wrong_token_or_none_is_refused(cluster: LocalCluster, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("0" * 64)
    submit = ["submit", DIGITS, "--address", cluster.address]
    for changed in ({"RAY_AUTH_TOKEN_PATH": str(wrong)}, {"RAY_AUTH_MODE": "disabled"}):
        said = refused(cluster.run(*submit, **changed))
        assert f"{cluster.address} lets nobody in without its token" in said
    assert not cluster.storage.exists()


def test_a_study_from_submission_through_a_stop_to_an_export(
    cluster: LocalCluster, tmp_path: Path
) -> None:
    storage, there = cluster.storage, ["--address", cluster.address]

    submitting = cluster.start("submit", DIGITS, *there, *STUDY)
    assert submitting.stdout is not None
    said = submitting.stdout.readline()
    assert said.startswith(f"digits runs on {cluster.address} as job tune-diffreg-digits"), said
    kill(submitting)

    again = cluster.run("submit", DIGITS, *there, *STUDY)
    assert "study 'digits' runs on" in refused(again)

    following = cluster.start("logs", "digits", "--follow", *there)
    assert following.stdout is not None
    while "at 8,000 images" not in following.stdout.readline():
        assert following.poll() is None
    kill(following)  # and the study does not mind
    wait_for(storage, lambda events: reports(events) >= 1)

    stopped = json.loads(succeeded(cluster.run("stop", "digits", *there, "--json")))
    assert stopped["job"]["status"] == "stopped"
    before, events = records(storage), journal(storage)
    assert events[-1]["event"] == "stop", "the driver was killed before it had stopped"
    assert any(not record.ended for record in before.values())

    resumed = succeeded(cluster.run("resume", "digits", *there))
    assert "as job tune-diffreg-digits~2" in resumed
    screen = succeeded(cluster.run("logs", "digits", "--follow", *there))  # until it has ended
    assert "digits: 2 trials in" in screen
    told = succeeded(cluster.run("logs", "digits", "--follow", "--json", *there)).splitlines()
    assert json.loads(told[-1])["event"] == "stop"
    after = records(storage)
    assert {record.state for record in after.values()} == {"complete"}
    for trial_id, record in before.items():
        assert after[trial_id].reports[: len(record.reports)] == record.reports

    job = {"id": "tune-diffreg-digits~2", "status": "succeeded", "storage": str(storage)}
    for command in (["list"], ["status", "digits"]):
        told = json.loads(succeeded(cluster.run(*command, *there, "--json")))
        state = told[0] if command == ["list"] else told
        assert (state["study"], state["state"], state["job"]) == ("digits", "complete", job)
        assert state["trials"]["total"] == 2

    best = tmp_path / "best"
    succeeded(cluster.run("export", "digits", "--storage", storage, "--output", best))
    assert (best / "pipeline").is_dir()
