"""What Prometheus finds at Ray's endpoint while a study runs."""

from __future__ import annotations

import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import ray

from tests.observation.test_live import live, trial
from tune_diffreg.observation import gauges as module
from tune_diffreg.observation.gauges import Gauges

pytestmark = pytest.mark.slow

_SAMPLE = re.compile(r"^ray_tune_diffreg_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Of a Ray of our own."""
    port = free_port()
    ray.init(
        "local", num_cpus=1, include_dashboard=False, log_to_driver=False,
        _metrics_export_port=port, _system_config={"metrics_report_interval_ms": 500},
    )  # fmt: skip
    yield f"http://127.0.0.1:{port}/metrics"
    ray.shutdown()


def scraped(endpoint: str) -> dict[tuple[str, ...], float]:
    """(gauge, study, state if it has one) -> value."""
    with urllib.request.urlopen(endpoint, timeout=5) as answer:
        text = answer.read().decode()
    found = {}
    for name, tags, value in _SAMPLE.findall(text):
        labels = dict(_LABEL.findall(tags))
        state = (labels["state"],) if "state" in labels else ()
        found[name, labels["study"], *state] = float(value)
    return found


def expect(endpoint: str, expected: dict[tuple[str, ...], float]) -> None:
    deadline, found = time.monotonic() + 60, {}
    while found != expected:
        assert time.monotonic() < deadline, found
        try:
            found = scraped(endpoint)
        except (urllib.error.URLError, ConnectionError):  # the agent is not up yet
            found = {}
        time.sleep(0.3)


def test_the_gauges_are_at_rays_endpoint_with_the_study_they_are_of(endpoint: str) -> None:
    digits, other = Gauges("digits"), Gauges("other")
    states = {"running": 2, "paused": 0, "complete": 3, "pruned": 4, "failed": 1, "planned": 24}
    running = (
        trial("t0000", cpu=0.5, device="0", gpu=0.75),
        trial("t0001", cpu=1.0, device="1", gpu=0.25, silent_s=61.0),
    )
    digits.show(live(*running, trials=states, waiting=7))
    other.show(live(trials={"running": 1}, waiting=0))
    expected = {
        **{("trials", "digits", state): number for state, number in states.items()},
        ("images_per_second", "digits"): 40.5,
        ("cpu_utilisation", "digits"): 0.75,
        ("gpu_utilisation", "digits"): 0.5,
        ("stragglers", "digits"): 1,
        ("mlflow_waiting", "digits"): 7,
        ("trials", "other", "running"): 1,
        ("images_per_second", "other"): 40.5,
        ("stragglers", "other"): 0,
        ("mlflow_waiting", "other"): 0,
    }
    expect(endpoint, expected)
    digits.show(live(trials={"running": 1}, images_per_second=10.0, waiting=0))
    expected |= {
        ("trials", "digits", "running"): 1,
        ("images_per_second", "digits"): 10.0,
        ("stragglers", "digits"): 0,
        ("mlflow_waiting", "digits"): 0,
    }
    expect(endpoint, expected)


def test_gauges_that_cannot_be_set_are_left_out_for_good_and_without_a_word_to_the_study(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del endpoint  # Ray runs
    gauges, said = Gauges("digits"), list[str]()
    monkeypatch.setattr(module.log, "warning", lambda text, **_: said.append(text))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("no agent")

    with monkeypatch.context() as patch:
        patch.setattr(gauges, "_set", broken)
        gauges.show(live())
    gauges.show(live())
    assert said == ["Ray takes no gauges of this study"]


def test_without_ray_there_are_no_gauges_and_no_trouble(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    Gauges("digits").show(live())
    assert not caplog.records


def test_gauges_may_be_set_while_ray_stops_and_starts() -> None:
    """An observer's thread does not know when that is."""
    gauges, over = Gauges("digits"), threading.Event()

    def show() -> None:
        while not over.is_set():
            gauges.show(live(trial("t0000", cpu=0.5)))

    thread = threading.Thread(target=show)
    thread.start()
    ray.shutdown()
    ray.init("local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    ray.shutdown()
    over.set()
    thread.join()
    assert not gauges._broken
