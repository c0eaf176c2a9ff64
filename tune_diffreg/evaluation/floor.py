"""The Fréchet distance of real images from real images: what no model can be expected to pass."""

from __future__ import annotations

from typing import NamedTuple

import torch

from tune_diffreg.evaluation.frechet import GaussianStatistics, frechet_distance
from tune_diffreg.seeds import generator

_DRAWS = 4


class Floor(NamedTuple):
    """What real images score.

    Attributes:
        value: the distance, a mean over random draws.
        images: how many images it is the distance of, against as many as the reference has.
        measured: how many it was measured with; other than `images` where the value was brought
            to their number.
    """

    value: float
    images: int
    measured: int


def floor_of(features: torch.Tensor, samples: int) -> Floor:
    """Of held-out features `(V, D)` at so many samples: some of them against the rest.

    Neither side has then as many as a trial's scores have, N against V. The distance of two
    samples of one distribution is a bias that falls as 1/N + 1/V where both are more than the
    dimensions (Chong & Forsyth 2020), so that it is brought to these numbers. Where
    they are not, it is told as measured, with the number of images that it was measured with.
    """
    whole, dimensions = features.shape
    count = min(samples, whole // 2)
    draw = generator(0, "floor")
    orders = [torch.randperm(whole, generator=draw) for _ in range(_DRAWS)]
    parts = [(features[order[count:]], features[order[:count]]) for order in orders]
    distances = [frechet_distance(GaussianStatistics.of(rest), part) for rest, part in parts]
    value = sum(distances) / len(distances)
    if count <= dimensions:
        return Floor(value, count, count)
    asked, had = 1 / samples + 1 / whole, 1 / count + 1 / (whole - count)
    return Floor(value * asked / had, samples, count)
