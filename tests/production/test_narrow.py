"""The narrow study as the file that `narrow` writes: it is read as what was found."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Command, tiny_study
from tests.production.test_handing_over import SCORES
from tune_diffreg.production import as_file, narrow
from tune_diffreg.results import Best, RungReport, TrialRecord
from tune_diffreg.results.best_config import best_config
from tune_diffreg.search.warm_start import check_warm_start
from tune_diffreg.study import Study, read_study
from tune_diffreg.study.space import value_at

RATE, DROPOUT = "optimizer.learning_rate", "regularization.residual_dropout"


def found(space: dict[str, Any], values: dict[str, Any], *overrides: str) -> Best:
    study = tiny_study(f"search.space={space!r}", "search.baselines={}", *overrides)
    report = RungReport(1280, 3.0, SCORES, "complete")
    record = TrialRecord("t0007", values, state="complete", reports=[report])
    return Best.model_validate(best_config(study, record, {"data_sha256": "ab"}))


@pytest.fixture
def narrowed(tmp_path: Path, command: Command) -> Callable[[Best], Study]:
    """What is read of the file that the command writes, which the search can begin with."""

    def write(best: Best) -> Study:
        content = best.model_dump(mode="json", by_alias=True)
        (tmp_path / "best.yaml").write_text(yaml.safe_dump(content))
        output = tmp_path / "narrow.yaml"
        output.unlink(missing_ok=True)
        status, printed = command("narrow", tmp_path / "best.yaml", "--output", output)
        assert status == 0, printed
        study = read_study(output)
        check_warm_start(study)
        return study

    return write


def test_what_was_switched_off_stays_off(narrowed: Callable[[Best], Study]) -> None:
    off = ("optimizer.clip_norm=null", "resources.hang_seconds=null", "halving=null")
    best = found({DROPOUT: {"low": 0.0, "high": 0.5}}, {DROPOUT: 0.2}, *off)
    study = narrowed(best)
    assert study.trial_config({}) == best.config
    assert study.resources == best.resources
    assert (study.optimizer.clip_norm, study.resources.hang_seconds) == (None, None)
    assert study.search.space[DROPOUT].model_dump(exclude_none=True).keys() == {
        "low", "high", "log",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "low", "high", "value"),
    [
        (DROPOUT, 0.0, 0.3333, 0.3332),
        ("optimizer.warmup", 0, 12345, 12340),
        ("training.ema", 0.99, 0.9999, 0.9998),
        ("augmentation.horizontal_flip", 0, 1, 0.5),  # whole numbers of a setting that is real
    ],
)
def test_what_was_found_lies_within_bounds_that_were_rounded(
    narrowed: Callable[[Best], Study], path: str, low: float, high: float, value: float
) -> None:
    about = narrowed(found({path: {"low": low, "high": high}}, {path: value})).search.space[path]
    assert about.low is not None
    assert about.high is not None
    assert low <= about.low <= value <= about.high <= high
    assert about.high - about.low < 0.27 * (high - low)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_was_searched_the_file_reads_as_what_was_found(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    log = data.draw(st.booleans())
    rates = st.floats(1e-12, 1.0)
    low, rate, high = sorted(data.draw(st.tuples(rates, rates, rates)))
    share = st.floats(0.0, 0.999)
    least, dropout, most = sorted(data.draw(st.tuples(share, share, share)))
    images = st.integers(0, 10**15)
    first, warmup, last = sorted(data.draw(st.tuples(images, images, images)))
    space = {
        RATE: {"low": low, "high": high, "log": log},
        DROPOUT: {"low": least, "high": most},
        "optimizer.warmup": {"low": first, "high": last},
    }
    best = found(space, {RATE: rate, DROPOUT: dropout, "optimizer.warmup": warmup})
    study = narrow(best, Path("/x/best.yaml"), None, None)
    path = tmp_path_factory.mktemp("any") / "narrow.yaml"
    path.write_text(as_file(study))
    assert read_study(path) == study
    assert study.trial_config({}) == best.config
    for setting, about in study.search.space.items():
        assert best.search is not None
        wide = best.search.space[setting]
        assert about.contains(value_at(best.config, setting))
        assert wide.contains(about.low)
        assert wide.contains(about.high)
    if log and low < high:
        about = study.search.space[RATE]
        assert about.low is not None
        assert about.high is not None
        assert math.log(about.high / about.low) <= 0.25 * math.log(high / low) + 0.02
