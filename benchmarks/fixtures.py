"""How each score moves on sets of real digits that are wrong in one known way.

    python -m benchmarks.fixtures

300 digits were "trained on", 450 are held out, and each set has 300 images, made from digits alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.output import device_name, write_result
from tune_diffreg.data.digits import labelled_pool
from tune_diffreg.evaluation import Measured, Reference, Targets
from tune_diffreg.evaluation.digits_cnn import DigitsFeatures
from tune_diffreg.seeds import generator

TRAIN, HELDOUT, SIZE = 300, 450, 300
SCORES = (
    "fd_digits_cnn", "kd_digits_cnn", "precision", "recall", "density", "coverage",
    "memorized_fraction", "authentic_fraction", "median_distance_ratio", "mann_whitney_z", "c_t",
)  # fmt: skip


def sets() -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """The training images, held-out ones, and the sets that are judged."""
    images, labels = labelled_pool()
    order = torch.randperm(len(images), generator=generator(0, "fixtures"))
    images, labels = images[order], labels[order]
    train, heldout = images[:TRAIN], images[TRAIN : TRAIN + HELDOUT]
    rest, rest_labels = images[TRAIN + HELDOUT :], labels[TRAIN + HELDOUT :]
    fresh = rest[:SIZE]
    other = Targets(train).nearest(train, 1, exclude=torch.arange(TRAIN)).target[:, 0]
    tenth = SIZE // 10
    few_classes = rest[rest_labels < 8]
    return train, heldout, {
        "held-out digits": fresh,
        "exact copies": train,
        "noisy copies": _noisy(train),
        "one in ten a near-copy": torch.cat([_noisy(train[:tenth]), fresh[tenth:]]),
        "halfway between training neighbours": ((train.int() + train[other].int()) // 2).byte(),
        "held-out digits, blurred": F.avg_pool2d(
            F.pad(fresh.float(), (1, 1, 1, 1), mode="replicate"), 3, stride=1
        ).round().byte(),
        "held-out digits, shifted by a pixel": fresh.roll(1, dims=3),
        "held-out digits without 8 and 9": few_classes[
            torch.arange(SIZE) % len(few_classes)
        ],
    }  # fmt: skip


def _noisy(images: torch.Tensor) -> torch.Tensor:
    """With even noise of up to 12 of 255 on every pixel."""
    draw = generator(0, "noise of copies")
    noise = torch.randint(-12, 13, images.shape, generator=draw)
    return (images.int() + noise).clamp(0, 255).byte()


def main() -> None:
    """Scores every set, then writes the result."""
    torch.set_num_threads(1)
    train, heldout, judged = sets()
    extractor = DigitsFeatures()
    measured = Measured.of(heldout, train, extractor, "pixels")
    reference = Reference(train.shape[1:], train, extractor, measured)
    rows = []
    for name, images in judged.items():
        found = reference.score(images)
        rows.append({"set": name, **{score: float(f"{found[score]:.4g}") for score in SCORES}})
    setting = {"train": TRAIN, "heldout": HELDOUT, "images": SIZE}
    write_result(
        "fixtures", {"device": device_name(), "setting": setting, "rows": rows, "targets": {}}
    )


if __name__ == "__main__":
    main()
