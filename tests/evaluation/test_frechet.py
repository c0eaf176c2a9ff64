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
    frechet,
    frechet_distance,
    frechet_distance_of_statistics,
    frechet_estimate,
    load_extractor,
)
from tune_diffreg.evaluation.frechet import extrapolates


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


def test_many_features_are_gathered_in_blocks_and_come_apart_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = (features(10_000, 24, 3) + 1000).float()
    exact = whole.double()
    centred = exact - exact.mean(0)
    copied: list[int] = []

    def double(block: torch.Tensor) -> torch.Tensor:
        copied.append(len(block))
        return block.to(torch.float64)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "double", double)
        gathered = GaussianStatistics.of(whole)
    assert sum(copied) == 10_000
    assert max(copied) < 5_000  # at no time are all of them held in float64
    torch.testing.assert_close(gathered.mean, exact.mean(0), rtol=1e-12, atol=0)
    torch.testing.assert_close(gathered.scatter, centred.T @ centred, rtol=1e-10, atol=1e-6)
    rest, first = GaussianStatistics.of(whole[700:]), GaussianStatistics.of(whole[:700])
    without = gathered - first
    assert without.count == 9300
    torch.testing.assert_close(without.mean, rest.mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(without.covariance, rest.covariance, rtol=1e-10, atol=1e-10)


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
    # Where an eigenvalue is nearly 0, its root has an error of 1e-8 of the largest.
    assert abs(distance(a, a)) <= 1e-7 * scale


def test_the_standard_error_is_what_repetition_shows() -> None:
    reference = GaussianStatistics.of(features(2000, 12, 1))
    pool = features(40_000, 12, 1)
    sets = pool.split(400)
    spread = torch.tensor([frechet_distance(reference, part) for part in sets]).std().item()
    told = [frechet_estimate(reference, part).standard_error for part in sets]
    assert sum(told) / len(told) == pytest.approx(spread, rel=0.35)
    assert math.isnan(frechet_estimate(reference, sets[0][:3]).standard_error)


@pytest.mark.parametrize("count", [20, 30, 100, 103])
def test_it_is_the_spread_of_distances_without_a_tenth(count: int) -> None:
    """Fewer than the dimensions, as many, more; each distance is taken anew."""
    reference, samples = GaussianStatistics.of(features(400, 30, 1)), features(count, 30, 2)
    group = torch.arange(count) % 10
    left = torch.tensor([frechet_distance(reference, samples[group != g]) for g in range(10)])
    error = math.sqrt(9 / 10 * (left - left.mean()).square().sum())
    found = frechet_estimate(reference, samples)
    assert found.value == frechet_distance(reference, samples)
    assert found.standard_error == pytest.approx(error, rel=1e-6)


def test_the_extrapolation_takes_the_bias_of_few_samples_away() -> None:
    truth = GaussianStatistics.of(features(200_000, 32, 1))
    samples = features(10_000, 32, 1)
    bias = frechet_distance(truth, samples[:1000])
    assert abs(frechet_estimate(truth, samples).at_infinity) < bias / 10


@pytest.mark.parametrize(("count", "left"), [(625, 0.06), (257, 0.12)])
@pytest.mark.parametrize("apart", [0.0, 0.5])
@pytest.mark.parametrize("falling", [0.0, 1.0, 1.5])
def test_it_is_right_where_a_tenth_of_the_samples_is_less_than_the_dimensions(
    falling: float, apart: float, count: int, left: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In small: a fifth, as Inception's 2,048 of 10,000, and nearly half. The truth is known."""
    dimensions, draw = 128, torch.Generator().manual_seed(0)
    monkeypatch.setattr(frechet, "EXTRAPOLATED_FROM", count)
    spread = torch.arange(1, dimensions + 1, dtype=torch.float64) ** (-falling / 2)
    reference = GaussianStatistics(
        10**6, torch.zeros(dimensions, dtype=torch.float64), torch.diag(spread**2) * (10**6 - 1)
    )
    shift = apart * spread / dimensions**0.5
    scaled = (1 + 0.2 * apart) * spread
    truth = float(shift.square().sum() + (scaled - spread).square().sum())
    estimates = [
        frechet_estimate(
            reference,
            torch.randn(count, dimensions, generator=draw, dtype=torch.float64) * scaled + shift,
        )
        for _ in range(12)
    ]
    distances, _, at_infinity = torch.tensor(estimates, dtype=torch.float64).unbind(1)
    bias, chance = distances.mean() - truth, at_infinity.std() / len(estimates) ** 0.5
    assert abs(at_infinity.mean() - truth) < left * bias + 2 * chance
    # And no less certain than the distance that it comes from.
    assert at_infinity.std() < 1.5 * distances.std()


def test_it_is_not_told_where_the_bias_of_so_few_samples_is_no_line() -> None:
    assert extrapolates(10_000, 2048)
    assert not extrapolates(9_999, 2048)
    assert not extrapolates(10_000, 5000)
    reference, samples = GaussianStatistics.of(features(50, 3, 1)), features(9_999, 3, 2)
    assert math.isnan(frechet_estimate(reference, samples).at_infinity)
