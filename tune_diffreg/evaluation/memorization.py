"""Is an image a copy of a training image?"""

from __future__ import annotations

import torch

from tune_diffreg.images import Images

# Gu et al. 2023 (arXiv 2310.02664), after Yoon et al. 2023: an image is memorised if its nearest
# training image is less than a third as far as the second nearest.
COPY_RATIO = 1 / 3
# Training images compared at a time; with `block` it bounds the memory.
_TARGETS = 8192


def distance_ratios(images: torch.Tensor, train: Images, block: int = 256) -> torch.Tensor:
    """Nearest over second-nearest distance to the training images, `(N,) float64`.

    Euclidean distances of pixels. 0 is an exact copy; near 1 no training image stands out.

    Args:
        images: `(N, C, H, W) uint8`.
        train: `(M, C, H, W) uint8`, M at least 2.
        block: images compared at a time.
    """
    ratios = []
    for batch in images.flatten(1).double().split(block):
        closest = torch.full((len(batch), 2), torch.inf, dtype=torch.float64)
        for start in range(0, len(train), _TARGETS):
            targets = train[start : start + _TARGETS].flatten(1).double()
            distances = torch.cdist(batch, targets, compute_mode="donot_use_mm_for_euclid_dist")
            closest = torch.cat([closest, distances], dim=1).topk(2, largest=False).values
        nearest, second = closest.unbind(1)
        # Two equal training images at distance 0: a copy all the same.
        ratios.append(torch.where(second > 0, nearest / second, 0.0))
    return torch.cat(ratios)


def memorized_fraction(ratios: torch.Tensor) -> float:
    """The fraction of images whose distance ratio marks them as copies."""
    return float((ratios < COPY_RATIO).double().mean())
