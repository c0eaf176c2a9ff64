"""What goes wrong in a study: it costs the trial alone, or nothing at all."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from tests.conftest import optuna_trials, run_cli, tiny_run
from tune_diffreg.results import TrialRecord, open_study, read_journal, replay
from tune_diffreg.results.journal import Event
from tune_diffreg.search.checkpoint import LATEST
from tune_diffreg.tracking import local_uri

pytestmark = pytest.mark.slow

# Longer trials than the tiny ones, so that there is something to interrupt.
LONG = [
    "training.images=4480", "halving.first_rung=1120", "search.trials=4", "search.concurrent=1",
]  # fmt: skip


def start(
    storage: str | Path, *overrides: str, arguments: Sequence[str] = (), cwd: Path | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tune_diffreg", *tiny_run(storage, *overrides), *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=cwd,
        start_new_session=True,
    )  # fmt: skip


def actors(running: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes of its trials."""
    children = psutil.Process(running.pid).children(recursive=True)
    return [child for child in children if "Trainable" in " ".join(command_of(child))]


def command_of(process: psutil.Process) -> list[str]:
    """How a process was started; empty where it has ended meanwhile."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def journal(storage: Path) -> list[Event]:
    path = storage / "digits" / "journal.jsonl"
    return read_journal(path) if path.exists() else []


def wait_for(storage: Path, condition: Callable[[list[Event]], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition(journal(storage)):
        assert time.monotonic() < deadline, journal(storage)
        time.sleep(0.2)


def reports(events: list[Event]) -> int:
    return sum(event["event"] == "report" for event in events)


def records(storage: Path) -> dict[str, TrialRecord]:
    return replay(read_journal(open_study(storage, "digits").journal))


def children(storage: Path) -> list[tuple[str, str]]:
    client = MlflowClient(local_uri(storage))
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    tags = [run.data.tags for run in client.search_runs([experiment.experiment_id])]
    return sorted((t["trial_id"], t["trial_state"]) for t in tags if "trial_id" in t)


def held(before: dict[str, TrialRecord], after: dict[str, TrialRecord]) -> None:
    """Whether all that was known before still is."""
    for trial_id, record in before.items():
        assert after[trial_id].reports[: len(record.reports)] == record.reports
        assert after[trial_id].values == record.values


@pytest.mark.timeout(600)
def test_a_study_stopped_in_every_way_goes_on_each_time_and_loses_nothing(tmp_path: Path) -> None:
    """Ctrl-C, Ctrl-C twice and SIGKILL, one after the other; SIGTERM is what `stop` sends.

    After the last the latest checkpoint has a flipped bit too.
    """
    known: dict[str, TrialRecord] = {}
    for ways in ((signal.SIGINT,), (signal.SIGINT, signal.SIGINT)):
        so_far = reports(journal(tmp_path))
        running = start(tmp_path, *LONG)
        wait_for(tmp_path, lambda events, so_far=so_far: reports(events) > so_far)
        for way in ways:
            running.send_signal(way)
            time.sleep(0.3)
        screen, _ = running.communicate(timeout=60)
        assert running.returncode == 130, screen
        assert "Nothing is lost" in screen
        assert f"tune-diffreg resume digits --storage {tmp_path}" in screen
        assert "Traceback" not in screen
        held(known, records(tmp_path))
        known = records(tmp_path)
    assert any(not record.ended for record in known.values())

    so_far = reports(journal(tmp_path))
    running = start(tmp_path, *LONG)
    wait_for(tmp_path, lambda events: reports(events) > so_far)
    orphans = actors(running)
    running.kill()
    running.wait()
    # The driver's Ray notices its end by itself; until then its trials hold the cores.
    psutil.wait_procs(orphans, timeout=60)
    (latest,) = (tmp_path / "digits" / "trials").glob(f"*/{LATEST}")
    content = bytearray(latest.read_bytes())
    content[len(content) // 2] ^= 1
    latest.write_bytes(content)
    held(known, records(tmp_path))
    known = records(tmp_path)

    done = run_cli("resume", "digits", "--storage", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    after = records(tmp_path)
    assert len(after) == 4
    assert all(record.ended for record in after.values())
    held(known, after)
    assert children(tmp_path) == [(r.id, r.state) for r in after.values()]


def test_an_exception_in_a_trial_fails_that_trial_alone_and_its_reason_is_kept(
    tmp_path: Path,
) -> None:
    """A file stands where the third trial's folder would be."""
    (tmp_path / "digits" / "trials").mkdir(parents=True)
    (tmp_path / "digits" / "trials" / "t0002").write_text("in the way")
    done = run_cli(*tiny_run(tmp_path, "search.trials=5", "search.concurrent=1"))
    assert done.returncode == 0, done.stdout + done.stderr
    after = records(tmp_path)
    assert after["t0002"].state == "failed"
    assert "FileExistsError" in (after["t0002"].reason or "")
    assert all(r.state in ("complete", "pruned") for r in after.values() if r.id != "t0002")
    assert "t0002 failed: FileExistsError" in done.stdout
    assert ("t0002", "failed") in children(tmp_path)
    told = optuna_trials(tmp_path / "digits")
    assert [trial.state.name for trial in told].count("FAIL") == 1
    assert all(trial.state.is_finished() for trial in told)


def test_a_study_in_which_every_trial_diverges_fails_and_says_why(tmp_path: Path) -> None:
    """A learning rate of 1 without clipping: the real loss becomes NaN."""
    done = run_cli(
        *tiny_run(
            tmp_path, "search.trials=2", "search.baselines={}", "optimizer.learning_rate=1.0",
            "search.space={optimizer.weight_decay: {low: 50.0, high: 90.0}}",
            "search.concurrent=1",
        )
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "No trial reached full length: 0 complete, 0 pruned, 2 failed" in done.stdout
    for record in records(tmp_path).values():
        assert record.state == "failed"
        assert "became nan" in (record.reason or "") or "became inf" in (record.reason or "")
