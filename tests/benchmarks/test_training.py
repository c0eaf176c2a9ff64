"""The loops that are timed against ours do train, and the effects of knobs are what runs say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks.knobs import KNOBS, OFF, SCORES, SEEDS, SIZES, effects, study, trainings
from benchmarks.loops import LOOPS
from benchmarks.training import setting_on, speed


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in LOOPS if "pytorch" not in name])
def test_a_loop_trains_and_has_a_speed(name: str, tmp_path: Path) -> None:
    setting = setting_on(torch.device("cpu"), tmp_path)
    small = replace(setting, images=setting.images[:128])
    assert speed(LOOPS[name](small), small.batch_size, seconds=0.1) > 1


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
