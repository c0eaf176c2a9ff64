"""scikit-learn's handwritten digits: 1,797 scans of 8x8 pixels, shipped with scikit-learn."""

from __future__ import annotations

import torch

from tune_diffreg.seeds import generator

# The feature extractor is trained on these and on nothing else; they never enter a split, or a
# score would compare generated images with what its own extractor was fitted to.
EXTRACTOR_IMAGES = 600


def digits_pool() -> torch.Tensor:
    """The 1,197 digits from which splits are drawn, `(N, 1, 8, 8) uint8`."""
    images, _ = _load()
    return images[_order()[EXTRACTOR_IMAGES:]]


def extractor_digits() -> tuple[torch.Tensor, torch.Tensor]:
    """The digits and labels that train the feature extractor."""
    images, labels = _load()
    chosen = _order()[:EXTRACTOR_IMAGES]
    return images[chosen], labels[chosen]


def labelled_pool() -> tuple[torch.Tensor, torch.Tensor]:
    """`digits_pool` with its labels, to check the feature extractor on."""
    images, labels = _load()
    chosen = _order()[EXTRACTOR_IMAGES:]
    return images[chosen], labels[chosen]


def _order() -> torch.Tensor:
    images, _ = _load()
    return torch.randperm(len(images), generator=generator(0, "digits of the extractor"))


def _load() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # The scans count ink from 0 to 16.
    pixels = torch.from_numpy(bunch.images) * (255 / 16)
    return pixels.round().to(torch.uint8).unsqueeze(1), torch.from_numpy(bunch.target).long()
