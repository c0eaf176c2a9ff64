"""Three disjoint splits."""

from __future__ import annotations

import pytest
import torch

from tune_diffreg.data import Splits, cut
from tune_diffreg.data.digits import digits_pool, extractor_digits
from tune_diffreg.errors import InputError


def keys(images: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in images]


def test_splits_are_disjoint_of_the_sizes_asked_for_and_chosen_by_the_seed() -> None:
    images = torch.arange(100, dtype=torch.uint8).view(100, 1, 1, 1)
    splits = cut(images, 10, 20, 30, seed=0)
    chosen = [*splits.train.flatten(), *splits.validation.flatten(), *splits.test.flatten()]
    assert [len(splits.train), len(splits.validation), len(splits.test)] == [10, 20, 30]
    assert len({int(value) for value in chosen}) == 60
    assert cut(images, 10, 20, 30, seed=0).digest == splits.digest
    assert cut(images, 10, 20, 30, seed=1).digest != splits.digest


def test_more_images_than_there_are_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"need 2,000 images .* but the source has 1,197"):
        cut(digits_pool(), 1000, 500, 500, seed=0)


def test_exact_duplicates_are_counted_where_they_appear_again() -> None:
    one, two, three = (torch.full((1, 1, 2, 2), v, dtype=torch.uint8) for v in (1, 2, 3))
    splits = Splits(torch.cat([one, one, two]), torch.cat([two, three]), torch.cat([three, three]))
    assert splits.duplicates() == {"train": 1, "validation": 1, "test": 2}


def test_the_digits_of_the_extractor_enter_no_split() -> None:
    pool, (used, _) = digits_pool(), extractor_digits()
    assert pool.shape == (1197, 1, 8, 8)
    assert pool.dtype == torch.uint8
    assert used.shape == (600, 1, 8, 8)
    assert not set(keys(pool)) & set(keys(used))
