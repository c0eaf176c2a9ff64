"""The measured curves, and the virtual clock that replays them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.curves.measure import ABOUT, MILESTONES, STUDY, TABLE, sobol_configurations
from benchmarks.simulation import REPORT_SECONDS, START_SECONDS, Cluster, Work, simulate
from benchmarks.statistics import interval, iqm
from benchmarks.surrogate import COPIES, OBJECTIVE, Curve, backward, encode, forward
from tune_diffreg.search.trial import load_materials
from tune_diffreg.study import read_study


def test_the_table_is_what_it_says_it_is() -> None:
    rows, about = pd.read_csv(TABLE), json.loads(ABOUT.read_text())
    runs = rows.groupby("configuration")["seed"].nunique()
    assert (runs.index.str.startswith("c")).sum() >= 150
    assert (runs == 3).sum() >= 30
    assert TABLE.stat().st_size < 5e6
    per_training = rows.groupby(["configuration", "seed"])["images"].apply(tuple)
    assert set(per_training) == {MILESTONES}
    assert np.isfinite(rows[OBJECTIVE]).all()

    study = read_study(STUDY)
    splits, materials = load_materials(study, threads=1)
    assert about["data_sha256"] == splits.digest
    assert about["features_sha256"] == materials.reference.extractor.digest
    for index in (0, 100):
        row = rows[rows["configuration"] == f"c{index:03d}"].iloc[0]
        for path, value in sobol_configurations(study, 192)[index].items():
            if value is None:
                assert pd.isna(row[path])
            else:
                assert row[path] == (pytest.approx(value) if isinstance(value, float) else value)


class Fixed:
    """A search of three trials, of which the second is stopped at its first rung."""

    rungs = (640, 1920)

    def __init__(self) -> None:
        self._waiting = ["a", "b", "c"]
        self.reports: list[tuple[str, int, float]] = []

    def next(self) -> Work | None:
        return Work(self._waiting.pop(0), {}) if self._waiting else None

    def report(self, trial: str, images: int, scores: Mapping[str, float], time: float) -> bool:
        assert scores[OBJECTIVE] == images
        self.reports.append((trial, images, round(time, 2)))
        return trial != "b"

    def selected(self) -> str | None:
        return self.reports[0][0]


class Known:
    """Curves whose score is the images seen, at a second per 100 images and two an evaluation."""

    milestones = (640, 1920)

    def draw(self, *_: Any) -> Curve:
        scores = {name: np.array([640.0, 1920.0]) for name in (OBJECTIVE, COPIES)}
        return Curve(scores, {OBJECTIVE: 5.0, COPIES: 0.1}, 0.01, 2.0)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_clock_charges_start_training_evaluation_and_report(workers: int) -> None:
    arm = Fixed()
    trace = simulate(arm, Known(), Cluster(workers, 10**6), None, seed=0)  # type: ignore[arg-type]
    each = 2.0 + REPORT_SECONDS
    short, whole = START_SECONDS + 6.4 + each, START_SECONDS + 19.2 + 2 * each
    ends = {1: 2 * whole + short, 2: short + whole}
    assert arm.reports[0] == ("a", 640, round(short, 2))
    assert arm.reports[-1][2] == pytest.approx(ends[workers], abs=0.01)
    assert trace.images_seen == 2 * 1920 + 640
    assert trace.trials == 3


def test_what_breaks_the_bound_is_worth_nothing() -> None:
    trace = simulate(Fixed(), Known(), Cluster(1, 10**6), 0.02, seed=0)  # type: ignore[arg-type]
    assert trace.value == [math.inf]
    trace = simulate(Fixed(), Known(), Cluster(1, 10**6), 0.5, seed=0)  # type: ignore[arg-type]
    assert trace.value == [5.0]


def test_scores_survive_their_transformation() -> None:
    for name, scores in {OBJECTIVE: [41.0, 500.0], COPIES: [0.0, 0.02, 1.0]}.items():
        assert backward(name, forward(name, np.array(scores))) == pytest.approx(scores)


def test_every_configuration_of_the_space_is_encoded_between_0_and_1() -> None:
    encoded = np.array([encode(values) for values in sobol_configurations(read_study(STUDY), 256)])
    assert encoded.min() >= 0
    assert encoded.max() <= 1
    linear, cosine, half = (
        encode({"diffusion.schedule.name": "hybrid", "diffusion.schedule.blend": blend})
        for blend in (0.0, 1.0, 0.5)
    )
    assert linear == encode({"diffusion.schedule.name": "linear"})
    assert cosine == encode({"diffusion.schedule.name": "cosine"}) != half


def test_the_interquartile_mean_and_its_interval() -> None:
    values = [1.0, 2.0, 3.0, 100.0]
    assert iqm(values) == 2.5
    assert iqm([*values[:3], math.inf]) == 2.5
    assert iqm([1.0, math.inf, math.inf, math.inf]) == math.inf
    low, high = interval(np.arange(100.0))
    assert 35 < low < iqm(np.arange(100.0)) < high < 65
