"""The Fréchet distance against independent implementations and against closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import _compute_fid

from tests.conftest import tiny_study
from tune_diffreg.data.digits import digits_pool
from tune_diffreg.evaluation import (
    GaussianStatistics,
    frechet_at_infinity,
    frechet_distance,
    frechet_distance_of_statistics,
    frechet_standard_error,
    load_extractor,
)


def features(count: int, dimensions: int, seed: int) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    mixing = torch.randn(dimensions, dimensions, generator=draw, dtype=torch.float64)
    return torch.randn(count, dimensions, generator=draw, dtype=torch.float64) @ mixing + seed


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    return frechet_distance(GaussianStatistics.of(a), b)


def of_torch_fidelity(a: torch.Tensor, b: torch.Tensor) -> float:
    metric = fid_statistics_to_metric(
        fid_features_to_statistics(a), fid_features_to_statistics(b), verbose=False
    )
    return float(metric["frechet_inception_distance"])


def of_torchmetrics(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(_compute_fid(a.mean(0), a.T.cov(), b.mean(0), b.T.cov()))


FULL_RANK = [(50, 3), (400, 16), (1000, 64), (3000, 128)]
RANK_DEFICIENT = [((300, 40), 64), ((40, 300), 64), ((30, 20), 64), ((200, 150), 256)]


@pytest.mark.parametrize(("count", "dimensions"), FULL_RANK)
def test_equals_torch_fidelity_and_torchmetrics_at_full_rank(count: int, dimensions: int) -> None:
    a, b = features(count, dimensions, 1), features(count + 7, dimensions, 2)
    assert distance(a, b) == pytest.approx(of_torch_fidelity(a, b), rel=1e-10)
    assert distance(a, b) == pytest.approx(of_torchmetrics(a, b), rel=1e-10)


@pytest.mark.parametrize(("counts", "dimensions"), RANK_DEFICIENT)
def test_fewer_images_than_dimensions_agree_too(counts: tuple[int, int], dimensions: int) -> None:
    a, b = features(counts[0], dimensions, 1), features(counts[1], dimensions, 2)
    assert distance(a, b) == pytest.approx(of_torch_fidelity(a, b), rel=1e-5)
    assert distance(a, b) == pytest.approx(of_torchmetrics(a, b), rel=1e-5)
    # The path through D x D matrices gives the same.
    through = frechet_distance_of_statistics(GaussianStatistics.of(a), GaussianStatistics.of(b))
    assert distance(a, b) == pytest.approx(through, rel=1e-7)


def test_equals_torch_fidelity_on_digits() -> None:
    extractor = load_extractor(tiny_study().evaluation)
    pool = digits_pool()
    a, b = extractor(pool[:550]), extractor(pool[550:1100])
    # A small difference of large traces: it is these that the digits count of.
    traces = float(a.T.cov().trace() + b.T.cov().trace())
    assert distance(a, b) == pytest.approx(of_torch_fidelity(a, b), abs=1e-11 * traces)


def test_statistics_do_not_depend_on_the_split_into_batches() -> None:
    whole = features(500, 24, 3) + 1000  # far from the origin, where sums of squares lose digits
    expected = GaussianStatistics.of(whole)
    for cuts in ([250, 250], [2, 498], [100] * 5, [7, 13, 480]):
        parts = [GaussianStatistics.of(part) for part in whole.split(cuts)]
        merged = parts[0]
        for part in parts[1:]:
            merged = merged + part
        assert merged.count == 500
        torch.testing.assert_close(merged.mean, expected.mean, rtol=1e-12, atol=0)
        torch.testing.assert_close(merged.covariance, expected.covariance, rtol=1e-10, atol=1e-10)
        other = GaussianStatistics.of(features(400, 24, 4))
        assert frechet_distance_of_statistics(other, merged) == pytest.approx(
            frechet_distance_of_statistics(other, expected), rel=1e-10
        )


def test_a_shift_costs_its_square_and_nothing_else() -> None:
    a = features(500, 8, 1)
    assert distance(a, a) == pytest.approx(0, abs=1e-8)
    assert distance(a, a + 2) == pytest.approx(8 * 4, rel=1e-10)


def test_a_scale_costs_what_the_closed_form_says() -> None:
    a = features(500, 8, 1)
    centred = a - a.mean(0)
    spread = GaussianStatistics.of(a).covariance.trace()
    scaled = a.mean(0) + 3 * centred
    expected = float((3 - 1) ** 2 * spread)
    assert distance(a, scaled) == pytest.approx(expected, rel=1e-9)


def test_commuting_covariances_cost_the_difference_of_their_roots() -> None:
    turn, _ = torch.linalg.qr(features(6, 6, 5))
    first, second = (
        torch.tensor(d, dtype=torch.float64) for d in ([1, 2, 3, 4, 5, 6.0], [2.0] * 6)
    )

    def with_covariance(values: torch.Tensor) -> GaussianStatistics:
        scatter = turn.T @ torch.diag(values) @ turn * 99
        return GaussianStatistics(100, torch.zeros(6, dtype=torch.float64), scatter)

    expected = float((first.sqrt() - second.sqrt()).square().sum())
    found = frechet_distance_of_statistics(with_covariance(first), with_covariance(second))
    assert found == pytest.approx(expected, rel=1e-10)


@settings(max_examples=30, deadline=None)
@given(
    counts=st.tuples(st.integers(3, 60), st.integers(3, 60)),
    dimensions=st.integers(1, 30),
    seed=st.integers(0, 10**6),
)
def test_symmetric_blind_to_rotations_and_never_negative(
    counts: tuple[int, int], dimensions: int, seed: int
) -> None:
    a, b = features(counts[0], dimensions, seed), features(counts[1], dimensions, seed + 1)
    scale = float(a.var() + b.var()) * dimensions
    turn, _ = torch.linalg.qr(features(dimensions, dimensions, seed + 2))
    assert distance(a, b) == pytest.approx(distance(b, a), abs=1e-7 * scale)
    assert distance(a @ turn, b @ turn) == pytest.approx(distance(a, b), abs=1e-7 * scale)
    assert distance(a, b) >= -1e-8 * scale
    assert abs(distance(a, a)) <= 1e-8 * scale


def test_the_standard_error_is_what_repetition_shows() -> None:
    reference = GaussianStatistics.of(features(2000, 12, 1))
    pool = features(40_000, 12, 1)
    sets = pool.split(400)
    spread = torch.tensor([frechet_distance(reference, part) for part in sets]).std().item()
    told = [frechet_standard_error(reference, part) for part in sets]
    assert sum(told) / len(told) == pytest.approx(spread, rel=0.35)
    assert math.isnan(frechet_standard_error(reference, sets[0][:3]))


def test_the_extrapolation_takes_the_bias_of_few_samples_away() -> None:
    truth = GaussianStatistics.of(features(200_000, 32, 1))
    samples = features(10_000, 32, 1)
    bias = frechet_distance(truth, samples[:1000])
    assert abs(frechet_at_infinity(truth, samples)) < bias / 10
    with pytest.raises(ValueError, match="9999 samples are too few"):
        frechet_at_infinity(truth, samples[:9999])
