"""The Fréchet distance against an independent implementation and against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

from tests.conftest import tiny_study
from tune_diffreg.data.digits import digits_pool
from tune_diffreg.evaluation import GaussianStatistics, frechet_distance, load_extractor


def features(count: int, dimensions: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=draw, dtype=torch.float64)
    return torch.randn(count, dimensions, generator=draw, dtype=torch.float64) @ mixing + seed


def independent(a: torch.Tensor, b: torch.Tensor) -> float:
    metric = fid_statistics_to_metric(
        fid_features_to_statistics(a), fid_features_to_statistics(b), verbose=False
    )
    return float(metric["frechet_inception_distance"])


@pytest.mark.parametrize(("count", "dimensions"), [(50, 3), (400, 16), (1000, 64), (3000, 128)])
def test_equals_torch_fidelity_at_full_rank(count: int, dimensions: int) -> None:
    a, b = features(count, dimensions, 1), features(count + 7, dimensions, 2)
    ours = frechet_distance(GaussianStatistics.of(a), b)
    assert ours == pytest.approx(independent(a, b), rel=1e-10)


def test_equals_torch_fidelity_on_digits() -> None:
    extractor = load_extractor(tiny_study().evaluation)
    pool = digits_pool()
    a, b = extractor(pool[:550]), extractor(pool[550:1100])
    ours = frechet_distance(GaussianStatistics.of(a), b)
    assert ours == pytest.approx(independent(a, b), rel=1e-10)


def test_fewer_samples_than_dimensions_agree_with_torch_fidelity() -> None:
    a, b = features(300, 64, 1), features(40, 64, 2)
    ours = frechet_distance(GaussianStatistics.of(a), b)
    assert ours == pytest.approx(independent(a, b), rel=1e-5)


def test_a_shift_costs_its_square_and_nothing_else() -> None:
    a = features(500, 8, 1)
    assert frechet_distance(GaussianStatistics.of(a), a) == pytest.approx(0, abs=1e-8)
    assert frechet_distance(GaussianStatistics.of(a), a + 2) == pytest.approx(8 * 4, rel=1e-10)


def test_a_scale_costs_what_the_closed_form_says() -> None:
    a = features(500, 8, 1)
    centred = a - a.mean(0)
    spread = GaussianStatistics.of(a).covariance.trace()
    scaled = a.mean(0) + 3 * centred
    expected = float((3 - 1) ** 2 * spread)
    assert frechet_distance(GaussianStatistics.of(a), scaled) == pytest.approx(expected, rel=1e-9)
