"""What the images of every trial of a study are held against."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tune_diffreg.errors import InputError
from tune_diffreg.evaluation.features import FeatureExtractor
from tune_diffreg.evaluation.frechet import GaussianStatistics, frechet_distance
from tune_diffreg.evaluation.memorization import distance_ratios, memorized_fraction
from tune_diffreg.images import Images


@dataclass(frozen=True)
class Reference:
    """Statistics of a real split under one extractor, and the training images.

    Made once a study; trials only read it.
    """

    train: Images
    statistics: GaussianStatistics
    distance_name: str
    heldout_memorized_fraction: float
    """The memorised fraction of real images that were not trained on: what chance alone gives."""

    @classmethod
    def of(
        cls,
        train: Images,
        heldout: torch.Tensor,
        extractor: FeatureExtractor,
        distance_name: str,
    ) -> Reference:
        """The reference of the real `heldout` images, `(N, C, H, W) uint8`.

        Raises:
            InputError: a split is too small to be a reference.
        """
        if len(heldout) < 2 or len(train) < 2:
            raise InputError("data: train and validation need at least 2 images each")
        statistics = GaussianStatistics.of(extractor(heldout))
        _ = statistics.covariance_root  # computed here, not in every trial
        by_chance = memorized_fraction(distance_ratios(heldout, train))
        return cls(train, statistics, distance_name, by_chance)

    def score(self, images: torch.Tensor, extractor: FeatureExtractor) -> dict[str, float]:
        """The scores of generated images `(N, C, H, W) uint8`; less is better."""
        ratios = distance_ratios(images, self.train)
        return {
            self.distance_name: frechet_distance(self.statistics, extractor(images)),
            "memorized_fraction": memorized_fraction(ratios),
        }
