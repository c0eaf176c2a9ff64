"""The loops that are timed against ours do train, and the effects of knobs are what runs say."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks.knobs import KNOBS, OFF, SCORES, SEEDS, SIZES, effects, study, trainings
from benchmarks.loops import LOOPS
from benchmarks.training import matmul_rate, packed, setting_on, speed, steps_in
from tests.conftest import ROOT

WITHOUT = """
import importlib.abc, importlib.machinery, sys

MISSING = {
    "ray", "optuna", "mlflow", "pandas", "psutil", "pyarrow", "fsspec", "sklearn", "rich",
    "typer", "plotly", "cmaes", "jinja2", "torch_fidelity", "torchmetrics",
}

class Missing(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in MISSING:
            return importlib.machinery.ModuleSpec(name, self)

    def create_module(self, spec):
        raise ModuleNotFoundError(spec.name, name=spec.name)

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Missing())
from pathlib import Path
import torch
from benchmarks.loops import ours
from benchmarks.training import setting_on
ours(setting_on(torch.device("cpu"), Path()))(1)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LOOPS if "pytorch" not in name])
def test_a_loop_trains_and_has_a_speed(name: str, tmp_path: Path) -> None:
    setting = setting_on(torch.device("cpu"), tmp_path)
    small = replace(setting, images=setting.images[:128])
    loop = LOOPS[name](small)
    assert speed(loop, steps_in(loop, seconds=0.1), small.batch_size) > 1


@pytest.mark.slow
def test_packed_trials_are_timed_together() -> None:
    assert packed(2, 0.1, device="cpu") > 1


def test_the_rate_of_products_is_a_rate() -> None:
    assert 1e6 < matmul_rate(torch.device("cpu"), side=64, repeats=3) < 1e13


@pytest.mark.slow
def test_the_benchmark_needs_little_beside_pytorch_and_diffusers() -> None:
    """So that it can be taken to a machine with a GPU and without all the rest."""
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_knob_is_a_configuration_and_is_trained_with_every_seed() -> None:
    for values in KNOBS.values():
        study(next(iter(SIZES))).trial_config(values)
    assert len(list(trainings())) == len(KNOBS) * SEEDS * len(SIZES)


def test_an_effect_is_the_mean_of_paired_differences() -> None:
    rows = [
        {"knob": knob, "size": size, "seed": seed, **dict.fromkeys(SCORES, base + 10 * seed)}
        for size in SIZES
        for knob, base in [(name, 1.0 if name == OFF else 0.5) for name in KNOBS]
        for seed in range(SEEDS)
    ]
    found = effects(pd.DataFrame(rows).sample(frac=1, random_state=0))
    assert len(found) == len(KNOBS) * len(SIZES)
    for row in found:
        if row["knob"] != OFF:
            assert row["validation_loss_change"] == {"mean": -0.5, "reach": 0.0}
            assert row["validation_loss"] == 20.5
