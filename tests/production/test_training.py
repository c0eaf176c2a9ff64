"""Production training: interrupted, killed, shared by two workers, and on other images."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import pandas as pd
import psutil
import pytest
import torch
from mlflow import MlflowClient

from tests.conftest import ROOT, Command, run_cli, tiny_study
from tune_diffreg.diffusion import Part, augmentation
from tune_diffreg.diffusion.batches import Walk
from tune_diffreg.production.cautions import cautions
from tune_diffreg.production.job import Job, scored_at
from tune_diffreg.production.train import take_part
from tune_diffreg.production.workers import _Followed
from tune_diffreg.results import Best, Journal, read_best
from tune_diffreg.results.journal import Event
from tune_diffreg.tracking import local_uri

# Nothing random but what all workers draw alike.
LONGER = ["--set", "training.images=7680", "--set", "regularization.residual_dropout=0",
          "--set", "data.train=64", "--scores", "3"]  # fmt: skip


@pytest.fixture(scope="module")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported study, and beside it a training of it that nothing disturbed, `calm`."""
    folder = tmp_path_factory.mktemp("exported")
    export = run_cli("export", "digits", "--storage", finished, "--output", folder / "best")
    assert export.returncode == 0, export.stderr
    calm = run_cli(*training(folder, "calm"))
    assert calm.returncode == 0, calm.stderr
    return folder


def training(folder: Path, output: str, *more: str) -> list[str]:
    file, storage = folder / "best" / "best.yaml", folder / "runs"
    return ["train", str(file), "--output", str(folder / output), "--storage", str(storage),
            *LONGER, *more]  # fmt: skip


def history(folder: Path, output: str) -> pd.DataFrame:
    return pd.read_csv(folder / output / "history.csv")


def start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tune_diffreg", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def wait_for_more(journal: Path, lines: int) -> None:
    """Until so many events more are there than now."""
    wanted = _lines(journal) + lines
    deadline = time.monotonic() + 120
    while _lines(journal) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _lines(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def test_parts_of_a_batch_are_together_the_whole() -> None:
    parts = [Part(number, 3) for number in range(3)]
    for step in range(4):
        together = [Walk(50, 12, 7, part).indices(step) for part in parts]
        assert torch.equal(torch.cat(together), Walk(50, 12, 7).indices(step))
    settings = tiny_study("augmentation.translate=0.125", "augmentation.rotate=10").augmentation
    images = torch.zeros(12, 1, 8, 8)
    whole = augmentation.draw(settings, images, torch.Generator().manual_seed(1))
    drawn = [
        augmentation.draw(settings, images[:4], torch.Generator().manual_seed(1), part)
        for part in parts
    ]
    assert torch.equal(torch.cat([one.labels() for one in drawn]), whole.labels())


def test_news_begins_at_a_whole_line(tmp_path: Path) -> None:
    """A disk that was full left half of one, and the next worker cuts it off."""
    job = Job(cast(Best, None), tmp_path / "out", (1280,))
    job.history.parent.mkdir(parents=True, exist_ok=True)
    job.history.write_bytes(b'{"event": "session", "time": 1}\n{"event": "sco')
    told: list[Event] = []
    followed = _Followed(job, told.append)
    Journal(job.history).append("failed", reason="why")
    followed.look()
    assert [event["event"] for event in told] == ["failed"]


def test_scores_are_spread_over_the_training_and_the_last_is_its_end() -> None:
    assert scored_at(1000, 3) == (334, 667, 1000)
    assert scored_at(2, 5) == (1, 2)


def test_what_is_known_to_move_is_said() -> None:
    tuned = tiny_study("regularization.residual_dropout=0.2")
    assert cautions(tuned, tuned) == []
    more = cautions(tuned, tiny_study("data.train=320", "training.images=12800"))
    assert more == ["320 training images instead of 32 want less regularisation than "
                    "residual_dropout 0.2"]  # fmt: skip
    (longer,) = cautions(tuned, tiny_study("training.images=2560"))
    assert longer.startswith("each image is seen 80 times instead of 40: copying grows")
    assert len(cautions(tuned, tiny_study("training.batch_size=16"))) == 1


@pytest.mark.slow
def test_an_interrupt_and_a_kill_leave_no_trace(exported: Path, command: Command) -> None:
    arguments = training(exported, "disturbed")
    folder = exported / ".disturbed.training"
    for sent, status in ((signal.SIGINT, 130), (signal.SIGKILL, -9)):
        process = start(arguments)
        wait_for_more(folder / "history.jsonl", 3)
        os.killpg(process.pid, sent)
        screen, _ = process.communicate(timeout=60)
        assert process.returncode == status, screen
        assert not (exported / "disturbed").exists()
        if sent == signal.SIGINT:
            assert "The same command goes on with it." in screen
    status, printed = command(*arguments, "--set", "optimizer.learning_rate=0.001")
    assert status == 2
    assert "was begun with other settings" in printed
    done = run_cli(*arguments)
    assert done.returncode == 0, done.stderr
    assert not folder.exists()
    pd.testing.assert_frame_equal(history(exported, "disturbed"), history(exported, "calm"))
    assert read_best(exported / "disturbed" / "best.yaml").config.data.train == 64


@pytest.mark.slow
def test_a_stop_between_training_and_scoring_skips_no_score(exported: Path) -> None:
    best = read_best(exported / "calm" / "best.yaml")
    job = Job(best, exported / "halted", scored_at(best.config.training.images, 3))
    for _ in range(4):
        asked = itertools.count(1)
        with job.begun():
            take_part(job, stopped=lambda asked=asked: next(asked) == 8)  # 2560 images on
    assert [e["images"] for e in job.events() if e["event"] == "stopped"] == [2560, 5120, 7680]
    assert list(job.scores()) == [2560, 5120, 7680]
    assert (job.folder / "model.safetensors").exists()


@pytest.mark.slow
def test_two_workers_train_as_one_does_through_a_kill_and_ctrl_c(exported: Path) -> None:
    arguments = training(exported, "replaced", "--workers", "2")
    journal = exported / ".replaced.training" / "history.jsonl"
    process = start(arguments)
    wait_for_more(journal, 3)
    workers = [p for p in psutil.Process(process.pid).children(recursive=True)
               if "RayTrainWorker" in "".join(p.cmdline())]  # fmt: skip
    assert len(workers) == 2
    workers[1].kill()
    deadline = time.monotonic() + 120
    while journal.read_text().count('"session"') < 2:  # the one that took its place has begun
        assert time.monotonic() < deadline
        time.sleep(0.1)
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    screen, _ = process.communicate(timeout=90)
    assert process.returncode == 130, screen
    assert time.monotonic() - begun < 60
    done = run_cli(*arguments)
    assert done.returncode == 0, done.stderr
    calm, shared = history(exported, "calm"), history(exported, "replaced")
    assert shared["images"].tolist() == calm["images"].tolist() == [2560, 5120, 7680]
    for score in ("train_loss", "validation_loss", "gradient_norm"):
        assert shared[score].to_numpy() == pytest.approx(calm[score].to_numpy(), rel=1e-4)
    assert shared["fd_digits_cnn"].to_numpy() == pytest.approx(calm["fd_digits_cnn"], rel=0.01)


@pytest.mark.slow
def test_mlflow_has_one_run_of_a_training(exported: Path) -> None:
    client = MlflowClient(local_uri(exported / "runs"))
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], "tags.phase = 'production'")
    finished = [run for run in runs if run.info.status == "FINISHED"]
    points = client.get_metric_history(finished[-1].info.run_id, "memorized_fraction")
    assert [point.step for point in points] == [2560, 5120, 7680]
    files = {file.path for file in client.list_artifacts(finished[-1].info.run_id, "model")}
    assert {"model/best.yaml", "model/pipeline", "model/README.md"} <= files


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "3"], "must divide training.batch_size, which is 32"),
        (["--workers", "32"], "more than this machine has"),
        (["--set", "data.train=0"], "data.train"),
        (["--set", "nonsense"], "write it as key=value"),
        (["--set", "training.imags=3"], "there is no such setting"),
    ],
)
def test_bad_input_is_one_sentence(
    exported: Path, command: Command, arguments: list[str], said: str
) -> None:
    file = exported / "best" / "best.yaml"
    status, printed = command("train", file, "--output", exported / "bad", *arguments)
    assert status == 2
    assert said in printed
    assert printed.count("\n") == 1
    assert not list(exported.glob("*bad*"))
