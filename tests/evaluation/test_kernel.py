"""The kernel distance against torch-fidelity, and its error against repetition."""

from __future__ import annotations

import pytest
import torch
from torch_fidelity.metric_kid import kernel_poly, mmd2

from tests.evaluation.test_frechet import features
from tune_diffreg.evaluation import kernel_distance
from tune_diffreg.evaluation.kernel import within


@pytest.mark.parametrize(("count", "dimensions"), [(20, 4), (300, 64), (700, 300)])
def test_equals_torch_fidelity(count: int, dimensions: int) -> None:
    a, b = features(count, dimensions, 1) / 10, features(count, dimensions, 2) / 10
    kernels = [
        kernel_poly(x.numpy(), y.numpy(), kid_kernel_poly_degree=3, kid_kernel_poly_coef0=1,
                    kid_kernel_poly_gamma=None)
        for x, y in ((b, b), (b, a), (a, a))
    ]  # fmt: skip
    assert kernel_distance(a, b).value == pytest.approx(mmd2(*kernels), rel=1e-6)


def test_sizes_may_differ_and_the_expectation_is_0_for_equal_distributions() -> None:
    draw = torch.Generator().manual_seed(0)
    pool = torch.randn(60, 300, 8, generator=draw, dtype=torch.float64)
    fresh = torch.randn(60, 150, 8, generator=draw, dtype=torch.float64)
    both = torch.tensor([kernel_distance(a, b).value for a, b in zip(fresh, pool, strict=True)])
    assert abs(both.mean()) < 4 * both.std() / 60**0.5
    assert (both < 0).any()  # as a distance that is not squared, or biased, never is


def test_what_is_known_of_the_reference_changes_nothing() -> None:
    a, b = features(90, 6, 1), features(70, 6, 2)
    assert kernel_distance(a, b, within(a)) == kernel_distance(a, b)


@pytest.mark.parametrize("shift", [0.3, 1.0])
def test_the_standard_error_is_what_repetition_shows(shift: float) -> None:
    draw = torch.Generator().manual_seed(0)
    values, told = [], []
    for _ in range(80):
        a, b = (torch.randn(n, 16, generator=draw, dtype=torch.float64) for n in (200, 300))
        estimate = kernel_distance(a, b + shift)
        values.append(estimate.value)
        told.append(estimate.standard_error)
    assert sum(told) / 80 == pytest.approx(torch.tensor(values).std().item(), rel=0.3)


def test_the_error_by_leaving_out_each_sample_is_the_one_computed_from_row_sums() -> None:
    a, b = features(9, 3, 1), features(7, 3, 2)

    def spread(values: list[float]) -> float:
        found = torch.tensor(values, dtype=torch.float64)
        return float((len(found) - 1) * found.var(correction=0))

    without_b = [kernel_distance(a, torch.cat([b[:i], b[i + 1 :]])).value for i in range(7)]
    without_a = [kernel_distance(torch.cat([a[:i], a[i + 1 :]]), b).value for i in range(9)]
    expected = (spread(without_a) + spread(without_b)) ** 0.5
    assert kernel_distance(a, b).standard_error == pytest.approx(expected, rel=1e-9)
