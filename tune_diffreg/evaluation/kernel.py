"""The kernel distance: squared maximum mean discrepancy, unbiased at any number of samples.

With Inception's features it is KID (Bińkowski et al. 2018). It takes all samples at once; a
standard error tells what its authors averaged over subsets for.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

_BLOCK = 2048


class Estimate(NamedTuple):
    """A score and one standard deviation of it."""

    value: float
    standard_error: float


def within(features: torch.Tensor) -> torch.Tensor:
    """For each of `(N, D)` features the sum of the kernel over the others, `(N,)`."""
    x = features.double()
    return _row_sums(x, x) - _diagonal(x)


def kernel_distance(
    reference: torch.Tensor, features: torch.Tensor, within_reference: torch.Tensor | None = None
) -> Estimate:
    """Unbiased squared MMD of `(M, D)` and `(N, D)` features with the kernel (x·y / D + 1)³.

    May be below 0: its mean is 0 for equal distributions. The standard error is a jackknife over
    the samples of both sides, which the sums over rows of the kernel give exactly.

    Args:
        within_reference: `within(reference)`, where it is known.
    """
    x, y = features.double(), reference.double()
    n, m = len(x), len(y)
    within_x = within(x)
    within_y = within(y) if within_reference is None else within_reference
    across_x, across_y = _row_sums(x, y), _row_sums(y, x)
    sums = within_x.sum(), within_y.sum(), across_x.sum()

    def mmd(n: int, m: int, xx: torch.Tensor, yy: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
        return xx / (n * (n - 1)) + yy / (m * (m - 1)) - 2 * xy / (n * m)

    whole = float(mmd(n, m, *sums))
    if min(n, m) < 3:
        return Estimate(whole, math.nan)
    # A sample stands in one row and one column of its own side's kernel.
    without_x = mmd(n - 1, m, sums[0] - 2 * within_x, sums[1], sums[2] - across_x)
    without_y = mmd(n, m - 1, sums[0], sums[1] - 2 * within_y, sums[2] - across_y)
    variance = sum((len(w) - 1) * w.var(correction=0).item() for w in (without_x, without_y))
    return Estimate(whole, math.sqrt(variance))


def _kernel(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _row_sums(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """For each of `x` the sum of the kernel over `y`, `(N,)`."""
    return torch.cat([_kernel(block, y).sum(dim=1) for block in x.split(_BLOCK)])


def _diagonal(x: torch.Tensor) -> torch.Tensor:
    return (x.square().sum(dim=1) / x.shape[1] + 1) ** 3
