"""What is said of a study before it starts, since its results would not show it."""

from __future__ import annotations

from tune_diffreg.search.preparation import Preparation
from tune_diffreg.study import Study
from tune_diffreg.words import duration

_SLOWER = 4
"""A trial that shares its machine with others may be that many times slower than alone."""


def data_notes(study: Study, preparation: Preparation) -> list[str]:
    """What was found in the splits that makes scores say less than they seem to."""
    found, train = [], len(preparation.splits.train)
    if study.training.batch_size > train:
        found.append(
            f"training.batch_size {study.training.batch_size} is more than the {train} training "
            "images; each step sees some of them more than once"
        )
    for split, count in preparation.duplicates.items():
        if count and split == "train":
            found.append(
                f"doubles in the train split: {count:,}; they count once where copies are looked "
                "for, but a model sees them more often and copies them sooner"
            )
        elif count:
            found.append(f"images of the {split} split that are in an earlier one too: {count:,}")
    found += [
        f"near-copies of training images in the {split} split: {count:,}; they make memorisation "
        "look like generalisation"
        for split, count in preparation.near_copies.items()
        if count
    ]
    return found


def hang_note(study: Study, scoring_seconds: float) -> str | None:
    """What to say where trials may be taken for hanging that are only scored; seconds as measured,
    of all scores of a trial together."""
    limit = study.resources.hang_seconds
    if limit is None or scoring_seconds < limit / _SLOWER:
        return None
    return (
        f"note: a trial may be silent for {duration(scoring_seconds)} while it scores; on a busy "
        f"machine resources.hang_seconds {limit:g} may take that for a hang: raise it"
    )
