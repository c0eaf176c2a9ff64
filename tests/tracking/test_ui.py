"""MLflow's real UI in a browser: the study is found, its best child opened and looked at."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc
import psutil
import pytest
import torch
from mlflow import MlflowClient
from playwright.sync_api import Browser

from tests.conftest import Command, run_cli
from tune_diffreg.results import read_best
from tune_diffreg.tracking import is_loopback, local_uri


@pytest.fixture(scope="module")
def server(confirmed: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tune_diffreg", "ui", "--storage", str(confirmed)]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    url = f"http://127.0.0.1:{port}"
    assert process.stdout is not None
    printed = [process.stdout.readline() for _ in range(2)]
    assert f"{url}/#/experiments/" in printed[1]
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"{url}/health").read()
            break
        except OSError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
    yield url
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.terminate()
    process.wait(30)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


@pytest.mark.slow
def test_the_study_its_best_trial_and_its_samples_are_found_in_the_ui(
    browser: Browser, server: str, confirmed: Path
) -> None:
    client = MlflowClient(local_uri(confirmed))
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    best = read_best(confirmed / "digits" / "best.yaml")
    (child,) = client.search_runs([experiment.experiment_id], f"tags.trial_id = '{best.trial_id}'")

    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_default_timeout(60_000)
    page.goto(f"{server}/#/experiments")
    page.get_by_text("Model training").first.click()
    page.get_by_role("link", name="digits", exact=True).first.click()
    parent = page.locator("[role=row]").filter(has_text="ago").first
    parent.locator("button").first.click()
    page.get_by_role("link", name=str(child.info.run_name), exact=True).first.click()
    page.get_by_text("memorized_fraction").first.wait_for()
    value = child.data.metrics["fd_digits_cnn"]
    page.get_by_text(f"{value:.10g}"[:7]).first.wait_for()  # the UI rounds further digits
    page.get_by_text("Model metrics").first.click()
    chart = (
        page.locator(".js-plotly-plot").filter(has=page.locator(".point, .js-line, .bars")).first
    )
    chart.wait_for()
    page.get_by_text("Artifacts").first.click()
    page.get_by_text("samples.png").first.click()
    page.locator("img[src^='blob:']").first.wait_for()


@pytest.mark.slow
def test_the_champion_is_registered_once_with_the_verdict(confirmed: Path) -> None:
    client = MlflowClient(local_uri(confirmed))
    for again in (False, True):
        if again:
            done = run_cli("resume", "digits", "--storage", confirmed)
            assert done.returncode == 0, done.stderr
        champion = client.get_model_version_by_alias("digits", "champion")
        assert champion.description is not None
        assert "Confirmed on 2 fresh seeds and the test split" in champion.description
        assert len(client.search_model_versions("name = 'digits'")) == 1


@pytest.mark.slow
def test_the_champion_makes_the_images_of_the_export(
    confirmed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", local_uri(confirmed))
    champion = mlflow.pyfunc.load_model("models:/digits@champion")
    made = torch.from_numpy(champion.predict([0, 1, 2]))
    assert made.shape == (3, 8, 8, 1)
    assert made.min() >= 0
    assert made.max() <= 1
    assert made.std() > 0.1


@pytest.mark.slow
def test_the_parent_run_tells_the_study_in_markdown(confirmed: Path) -> None:
    client = MlflowClient(local_uri(confirmed))
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    text = parent.data.tags["mlflow.note.content"]
    assert "| believed |" in text
    assert "State: complete" in text
    assert client.get_metric_history(parent.info.run_id, "system/cpu_utilization_percentage")
    names = {run.info.run_name for run in runs}
    assert any("residual_dropout" in str(name) for name in names)


@pytest.mark.parametrize(
    ("host", "alone"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False)],
)
def test_which_hosts_are_this_machine_alone(host: str, alone: bool) -> None:
    assert is_loopback(host) == alone


def test_letting_other_machines_in_is_warned_of(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[str] = []
    monkeypatch.setattr("tune_diffreg.tracking.pages", lambda *_: {})
    monkeypatch.setattr("tune_diffreg.tracking.serve", lambda *given: served.append(given[2]))
    (tmp_path / "mlflow.db").touch()
    status, printed = command("ui", "--storage", tmp_path)
    assert (status, served) == (0, ["127.0.0.1"])
    assert "warning" not in printed
    status, printed = command("ui", "--storage", tmp_path, "--host", "0.0.0.0")
    assert (status, served) == (0, ["127.0.0.1", "0.0.0.0"])
    assert "warning: MLflow asks for no password" in printed
    status, printed = command("ui", "--storage", tmp_path, "--host", "no.such.host.invalid")
    assert status == 2
    assert len(served) == 2
