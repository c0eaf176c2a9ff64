"""Two studies or exports side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tune_diffreg.results.best import Best, read_best, without_cache
from tune_diffreg.results.choice import read_choice
from tune_diffreg.results.listing import open_study
from tune_diffreg.study.space import flatten

_SCORES = ("memorized_fraction", "heldout_memorized_fraction", "validation_loss", "loss_gap")


def find(name: str, storage: Path, trusted: bool = False) -> Best:
    """What the study of that name in `storage` chose, or the export at that path holds.

    Args:
        trusted: whether an export may name code.

    Raises:
        InputError: it is neither, or its study has no trial of full length.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return read_best(path, trusted)
    if (path / "best.yaml").is_file():
        return read_best(path / "best.yaml", trusted)
    return read_choice(open_study(storage, name))


def compare(first: tuple[str, Best], second: tuple[str, Best]) -> dict[str, Any]:
    """Settings in which they differ, scores of both, and why these do not compare, if they do not.

    Args:
        first, second: each with what it is called.
    """
    (a_name, a), (b_name, b) = first, second
    settings = [flatten(without_cache(best.config).model_dump(mode="json")) for best in (a, b)]
    paths = dict.fromkeys([*settings[0], *settings[1]])
    differing = {
        path: [own.get(path) for own in settings]
        for path in paths
        if settings[0].get(path) != settings[1].get(path)
    }
    names = dict.fromkeys([a.result.metric, b.result.metric, *_SCORES])
    return {
        "names": [a_name, b_name],
        "trials": [a.trial_id, b.trial_id],
        "settings": differing,
        "scores": {name: [best.result.scores.get(name) for best in (a, b)] for name in names},
        "confirmed": {
            name: [_confirmed(best, name) for best in (a, b)]
            for name in names
            if any(_confirmed(best, name) for best in (a, b))
        },
        "apart": _apart(a, b),
    }


def _confirmed(best: Best, name: str) -> dict[str, float] | None:
    found: dict[str, float] | None = ((best.confirmation or {}).get("scores") or {}).get(name)
    return found


def _apart(a: Best, b: Best) -> list[str]:
    """Why the scores of one cannot be held against those of the other, a sentence each."""
    found = []
    told: dict[str, list[Any]] = {
        "metric": [best.result.metric for best in (a, b)],
        "number of samples": [best.result.samples for best in (a, b)],
        "split": [best.result.split for best in (a, b)],
        "images": [best.provenance.get("data_sha256") for best in (a, b)],
        "extractor": [best.provenance.get("features_sha256") for best in (a, b)],
    }
    for what, values in told.items():
        if values[0] != values[1]:
            shown = "" if what in ("images", "extractor") else f" ({values[0]} and {values[1]})"
            found.append(f"Not the same {what}{shown}: the scores do not compare.")
    if (a.confirmation is None) != (b.confirmation is None):
        found.append("Only one of them is confirmed on fresh seeds; a search's own score flatters.")
    return found
