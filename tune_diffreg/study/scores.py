"""The scores of a trial, by name, and which way is better.

`fid` and `kid` are reserved for Inception's features with verified weights; another extractor's
name is part of the score's.
"""

from __future__ import annotations

import math

OF_HELDOUT = ("memorized_fraction", "authentic_fraction")
"""Scores that real held-out images have too, as `heldout_` and the name."""
EXTRAPOLATED_FROM = 10_000
"""Images from which a distance can be extrapolated to infinitely many."""
_BANDS = range(1, 5)
_LESS = (
    "memorized_fraction",
    "validation_loss",
    "train_loss",
    "loss_gap",
    *(f"validation_loss_band_{band}" for band in _BANDS),
    *(f"loss_gap_band_{band}" for band in _BANDS),
)
_MORE = (
    "authentic_fraction",
    "median_distance_ratio",
    "mann_whitney_z",
    "c_t",
    "precision",
    "recall",
    "density",
    "coverage",
)
OF_TRAINING = ("clipped_fraction", "gradient_norm")
"""What is known of the steps themselves."""
_FRACTIONS = (
    "memorized_fraction",
    "authentic_fraction",
    "precision",
    "recall",
    "coverage",
    "clipped_fraction",
)


def limits(name: str) -> tuple[float, float]:
    """The least and the largest value that a score can have."""
    return (0.0, 1.0) if name in _FRACTIONS else (-math.inf, math.inf)


def distance(features: str) -> str:
    """The Fréchet distance with these features."""
    return "fid" if features == "inception" else f"fd_{features}"


def kernel_distance(features: str) -> str:
    """The kernel distance with these features."""
    return "kid" if features == "inception" else f"kd_{features}"


def minimized(features: str) -> tuple[str, ...]:
    """Scores of which less is better: what a search can minimise."""
    return (distance(features), kernel_distance(features), *_LESS)


def at_infinity(features: str) -> str:
    """The Fréchet distance extrapolated to infinitely many images."""
    return f"{distance(features)}_infinity"


def all_of(features: str, samples: int = 0) -> tuple[str, ...]:
    """Scores that can be bounded, where at least so many images are generated for each."""
    extrapolated = (at_infinity(features),) if samples >= EXTRAPOLATED_FROM else ()
    return (*minimized(features), *extrapolated, *_MORE, *OF_TRAINING)
