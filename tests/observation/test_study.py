"""A real study on real Ray, looked at while it runs, after it was killed, and when it is over."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from tests.conftest import Command
from tests.observation.test_gauges import scraped
from tests.observation.test_log import lines
from tests.test_faults import LONG, actors, reports, start, wait_for
from tune_diffreg.results import open_study, read_journal, replay

pytestmark = pytest.mark.slow

T = TypeVar("T")


@pytest.fixture
def running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A study that has reached a rung, and its storage."""
    monkeypatch.setenv("RAY_metrics_report_interval_ms", "500")
    process = start(tmp_path, *LONG)
    try:
        wait_for(tmp_path, lambda events: reports(events) >= 1)
        yield process, tmp_path
    finally:
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(process.pid).children(recursive=True)
            process.kill()
            psutil.wait_procs(children, timeout=60)  # Ray notices by itself
        process.communicate()


def eventually(look: Callable[[], T]) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + 60
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return found


def endpoints(process: subprocess.Popen[str]) -> list[str]:
    """Where the agent of its Ray listens; one of these is Prometheus'."""
    ports = set()
    for child in psutil.Process(process.pid).children(recursive=True):
        with suppress(psutil.Error):
            if any("agent" in part.lower() for part in child.cmdline()):  # it renames itself
                found = child.net_connections("tcp")
                ports |= {c.laddr.port for c in found if c.status == psutil.CONN_LISTEN}
    return [f"http://127.0.0.1:{port}/metrics" for port in ports]


def gauges(process: subprocess.Popen[str]) -> dict[tuple[str, ...], float]:
    """Those of the study that are not 0 for want of a sign of life."""
    for endpoint in endpoints(process):
        with suppress(OSError, ValueError, http.client.HTTPException):  # not all speak HTTP
            found = scraped(endpoint)
            if found.get(("images_per_second", "digits")):
                return found
    return {}


def test_a_running_study_shows_itself_to_prometheus_to_status_and_in_its_log(
    running: tuple[subprocess.Popen[str], Path], command: Command
) -> None:
    process, storage = running
    found = eventually(lambda: gauges(process))
    assert found["trials", "digits", "planned"] == 4
    assert 1 <= found["trials", "digits", "running"] <= 4
    assert 0 < found["cpu_utilisation", "digits"] < 1.5
    assert ("gpu_utilisation", "digits") not in found  # there is none to measure

    def status() -> dict[str, Any]:
        code, printed = command("status", "digits", "--storage", storage, "--json")
        assert code == 0
        state: dict[str, Any] = json.loads(printed)
        return state

    state = eventually(lambda: (now := status())["live"] and now["live"]["running"] and now)
    assert state["state"] == "running"
    assert state["session"]["pid"] == process.pid
    assert state["live"]["images_per_second"] > 1
    begun = [trial for trial in state["live"]["running"] if trial["silent_s"] is not None]
    processes = {actor.pid for actor in actors(process)}
    assert {trial["pid"] for trial in begun} <= processes
    assert all(trial["images_per_second"] > 1 for trial in begun)

    victim = actors(process)[0]
    victim.kill()
    folder = storage / "digits"
    (lost, *_) = eventually(
        lambda: [line for line in lines(folder / "log.jsonl") if line.get("event") == "again"]
    )
    assert lost["trial"] in replay(read_journal(folder / "journal.jsonl"))
    assert lost["level"] == "warning"

    process.send_signal(signal.SIGKILL)
    process.wait()
    code, words = command("status", "digits", "--storage", storage)
    assert code == 0
    assert f"not running: process {process.pid} on " in words
    assert "ended without a word" in words
    assert status()["live"] is None


def test_the_log_of_a_finished_study_has_all_that_its_journal_has(finished: Path) -> None:
    folder = open_study(finished, "digits")
    written = lines(folder.log)
    for line in written:
        assert set(line) >= {"time", "level", "logger", "study", "message"}
        assert line["study"] == "digits"
    told = [(line["event"], line.get("trial")) for line in written if "event" in line]
    known = [(event["event"], event.get("trial")) for event in read_journal(folder.journal)]
    assert [event for event in told if event[0] != "stop"] == [
        event for event in known if event[0] != "stop"
    ]
    assert told[-1] == ("stop", None)


def test_the_status_of_a_finished_study_is_its_summary_and_nothing_runs(
    finished: Path, command: Command
) -> None:
    code, printed = command("status", "digits", "--storage", finished, "--json")
    assert code == 0
    state = json.loads(printed)
    summary = json.loads((finished / "digits" / "summary.json").read_text())
    assert {key: state[key] for key in summary} == summary
    assert state["live"] is state["note"] is None
    assert state["failures"] == []
    assert state["mlflow"] == {"waiting": 0, "refused": 0}
    assert state["session"]["state"] == "complete"
    assert "not running: complete" in command("status", "digits", "--storage", finished)[1]
