"""Makes `tune_diffreg/evaluation/digits_cnn.safetensors`, the frozen digits classifier.

    python tools/train_digits_cnn.py

Trains on the 600 digits that enter no split and prints the accuracy on all others.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from tune_diffreg.data.digits import extractor_digits, labelled_pool
from tune_diffreg.evaluation.digits_cnn import WEIGHTS, DigitsCNN
from tune_diffreg.seeds import generator

EPOCHS = 150
BATCH = 50


def main() -> None:
    torch.manual_seed(0)
    images, labels = extractor_digits()
    network = DigitsCNN()
    steps = EPOCHS * len(images) // BATCH
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
    decay = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=2e-3, total_steps=steps)
    for epoch in range(EPOCHS):
        order = torch.randperm(len(images), generator=generator(0, "digits classifier", epoch))
        for batch in order.split(BATCH):
            loss = F.cross_entropy(
                network(_shifted(images[batch])), labels[batch], label_smoothing=0.05
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay.step()
    save_file(network.state_dict(), WEIGHTS)
    others, truth = labelled_pool()
    right = (network(others).argmax(1) == truth).double().mean().item()
    print(f"{WEIGHTS.name}: {right:.2%} right on the {len(others):,} digits that it never saw")


def _shifted(images: torch.Tensor) -> torch.Tensor:
    """Each batch moved by up to one pixel, so that 600 digits go further."""
    dy, dx = torch.randint(-1, 2, (2,)).tolist()
    padded = F.pad(images, (1, 1, 1, 1))
    return padded[:, :, 1 + dy : 9 + dy, 1 + dx : 9 + dx]


if __name__ == "__main__":
    main()
