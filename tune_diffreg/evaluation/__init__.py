"""Judging ONE set of images: features, Fréchet distance, memorisation, against a reference.

Images are `(N, C, H, W) uint8`; nothing here knows what made them.
"""

from tune_diffreg.evaluation.features import FeatureExtractor, load_extractor
from tune_diffreg.evaluation.frechet import GaussianStatistics, frechet_distance
from tune_diffreg.evaluation.memorization import distance_ratios, memorized_fraction
from tune_diffreg.evaluation.reference import Reference

__all__ = [
    "FeatureExtractor",
    "GaussianStatistics",
    "Reference",
    "distance_ratios",
    "frechet_distance",
    "load_extractor",
    "memorized_fraction",
]
