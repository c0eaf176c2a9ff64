"""What many tests need: the digits study made small, and one finished run of it on real Ray."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
import torch
from filelock import FileLock
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial
from playwright.sync_api import Browser, sync_playwright

from tune_diffreg.study import Study, read_study

# Servers that tests start need none of its six processes that wait for jobs.
os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"

ROOT = Path(__file__).parent.parent
DIGITS = ROOT / "search_spaces" / "digits.yaml"

# A study of seconds: real in every part, small in each.
TINY = [
    "data.validation=160",
    "data.test=160",
    "training.images=1280",
    "halving.first_rung=320",
    "halving.reduction_factor=2",
    "evaluation.samples=80",
    "evaluation.steps=4",
    "search.trials=8",
    "confirmation=null",
]


def tiny_study(*overrides: str) -> Study:
    """The digits study, small, with further overrides."""
    return read_study(DIGITS, [*TINY, *overrides])


def run_cli(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own, its output kept."""
    command = [sys.executable, "-m", "tune_diffreg", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=240, check=False, cwd=cwd
    )


def tiny_run(storage: str | Path, *overrides: str) -> list[str]:
    """The arguments that run the tiny study in `storage`."""
    settings = [part for text in (*TINY, *overrides) for part in ("--set", text)]
    return ["run", str(DIGITS), "--storage", str(storage), *settings]


def optuna_trials(folder: Path) -> list[FrozenTrial]:
    """What Optuna itself reads in the folder of a study."""
    backend = JournalFileBackend(str(folder / "optuna.jsonl"))
    return optuna.load_study(study_name=None, storage=JournalStorage(backend)).trials


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with many slow tests come first, so that at the end no process is left with one."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def ran_once(folders: pytest.TempPathFactory, name: str, *overrides: str) -> Path:
    """The storage folder of a tiny study that ran to its end, `screen.txt` beside it.

    Of all test processes one runs it; each has a copy, to do with as it likes.
    """
    own = folders.getbasetemp()
    ran = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / f"ran-{name}"
    with FileLock(f"{ran}.lock"):
        if not (ran / "screen.txt").exists():
            done = run_cli(*tiny_run(ran, *overrides))
            assert done.returncode == 0, done.stdout + done.stderr
            (ran / "screen.txt").write_text(done.stdout + done.stderr)
    return shutil.copytree(ran, own / name)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage folder of a tiny study that ran to its end."""
    return ran_once(tmp_path_factory, "finished")


@pytest.fixture(scope="session")
def confirmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a study with confirmation."""
    return ran_once(
        tmp_path_factory, "confirmed", "search.trials=5", "confirmation={finalists: 2, seeds: 2}"
    )


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process; gives its exit status and what it printed."""
    from tune_diffreg.cli import main

    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["tune-diffreg", *map(str, arguments)])
        try:
            main()
            status = 0
        except SystemExit as exit_:
            status = int(exit_.code or 0)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; tests that want one are left out where none is installed."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium on the path")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()
