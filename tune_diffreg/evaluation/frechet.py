"""The Fréchet distance of two Gaussians, in float64 throughout (Heusel et al. 2017, equation 6)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch


@dataclass(frozen=True)
class GaussianStatistics:
    """Mean and unbiased covariance of features, with the square root of the covariance."""

    mean: torch.Tensor
    covariance: torch.Tensor
    count: int

    @classmethod
    def of(cls, features: torch.Tensor) -> GaussianStatistics:
        """Statistics of `(N, D) float64` features, N at least 2."""
        return cls(features.mean(dim=0), torch.cov(features.T, correction=1), len(features))

    @cached_property
    def covariance_root(self) -> torch.Tensor:
        values, vectors = torch.linalg.eigh(self.covariance)
        root: torch.Tensor = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
        return root


def frechet_distance(reference: GaussianStatistics, features: torch.Tensor) -> float:
    """Distance of `(N, D) float64` features to the reference; 0 for equal statistics.

    The trace of the root of the covariances' product is the sum of the roots of the eigenvalues
    of a symmetric matrix: of R S R (R the reference's root) or, where there are fewer samples than
    dimensions, of the N x N Gram matrix of Y R, Y the centred samples. Neither needs a matrix root
    of a product that is not symmetric.
    """
    mean = features.mean(dim=0)
    centred = (features - mean) / (len(features) - 1) ** 0.5
    projected = centred @ reference.covariance_root
    few = len(features) < features.shape[1]
    product = projected @ projected.T if few else projected.T @ projected
    root_trace = torch.linalg.eigvalsh(product).clamp(min=0).sqrt().sum()
    traces = reference.covariance.trace() + centred.square().sum()
    return float((mean - reference.mean).square().sum() + traces - 2 * root_trace)
