"""Judging ONE set of images: features, distances, memorisation, against a reference.

Images are `(N, C, H, W) uint8`; nothing here knows what made them.
"""

from tune_diffreg.evaluation.copies import Copies, near_copies
from tune_diffreg.evaluation.distinct import distinct
from tune_diffreg.evaluation.features import FeatureExtractor, load_extractor
from tune_diffreg.evaluation.floor import Floor
from tune_diffreg.evaluation.frechet import (
    GaussianStatistics,
    frechet_distance,
    frechet_distance_of_statistics,
    frechet_estimate,
)
from tune_diffreg.evaluation.kernel import kernel_distance
from tune_diffreg.evaluation.manifold import manifold_scores, radii
from tune_diffreg.evaluation.measured import LEAST_IMAGES, Measured
from tune_diffreg.evaluation.memorization import distance_ratios
from tune_diffreg.evaluation.neighbors import Neighbors, Targets
from tune_diffreg.evaluation.reference import Reference
from tune_diffreg.evaluation.store import kept, reference_file

__all__ = [
    "LEAST_IMAGES",
    "Copies",
    "FeatureExtractor",
    "Floor",
    "GaussianStatistics",
    "Measured",
    "Neighbors",
    "Reference",
    "Targets",
    "distance_ratios",
    "distinct",
    "frechet_distance",
    "frechet_distance_of_statistics",
    "frechet_estimate",
    "kept",
    "kernel_distance",
    "load_extractor",
    "manifold_scores",
    "near_copies",
    "radii",
    "reference_file",
]
