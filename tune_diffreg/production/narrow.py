"""A follow-up study around a configuration that was found: fewer trials, a narrow space."""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tune_diffreg.errors import InputError, explain
from tune_diffreg.results import Best
from tune_diffreg.results.formats import to_yaml
from tune_diffreg.study import Distribution, Study, TrialConfig
from tune_diffreg.study.space import takes_float, value_at

_SHARE = 0.25
"""Of the width of a range, what is searched about the value that was found."""
_TRIALS = 12
_DIGITS = 3
"""Of the width between new bounds, or of a lower one that is less: more would only look exact."""


def narrow(best: Best, file: Path, train: int | None, images: int | None) -> Study:
    """The study, which begins with the configuration in `file` itself.

    Args:
        train: number of training images, where it is to be another.
        images: images seen in a training, where it is to be another.

    Raises:
        InputError: `best` does not say what was searched, nothing of it is a range, or what follows
            is no study.
    """
    if best.search is None:
        raise InputError(f"{file}: does not say what was searched; export it anew")
    found = {path: value_at(best.config, path) for path in best.search.space}
    space = {
        path: about.model_dump(exclude_none=True)
        for path, distribution in best.search.space.items()
        if distribution.applies(found)
        and (about := _about(path, distribution, found[path])) is not None
    }
    if not space:
        raise InputError(f"{file}: the search varied choices alone; there is nothing to narrow")
    content: dict[str, Any] = best.config.model_dump(mode="json")
    content |= {
        "name": f"{best.study}-narrow",
        "search": {
            "trials": _TRIALS,
            "baselines": {"found": {}},
            "space": space,
            "warm_start": str(file),
        },
        "objective": best.search.objective.model_dump(mode="json", exclude_none=True),
        "resources": best.resources.model_dump(mode="json"),
    }
    if best.search.halving is not None:
        content["halving"] = best.search.halving.model_dump(mode="json")
    if train is not None:
        content["data"]["train"] = train
    if images is not None:
        content["training"]["images"] = images
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{file}: no study follows from it: {explain(error)}") from None


def as_file(study: Study) -> str:
    """The text of a study file that reads as `study`; of ranges and bounds what they say alone."""
    content = study.model_dump(mode="json")
    content["search"]["space"] = {
        path: distribution.model_dump(mode="json", exclude_none=True)
        for path, distribution in study.search.space.items()
    }
    content["objective"] = study.objective.model_dump(mode="json", exclude_none=True)
    return to_yaml(content)


def _about(path: str, distribution: Distribution, value: Any) -> Distribution | None:
    """A quarter of the range about the value, on the scale that was searched.

    None for choices, and for a baseline's value outside the range.
    """
    if distribution.choices is not None or not isinstance(value, int | float):
        return None
    low, high = distribution.low, distribution.high
    assert low is not None and high is not None
    if not low <= value <= high:
        return None
    forward, back = (math.log, math.exp) if distribution.log else (float, float)
    first, last, at = (forward(x) for x in (low, high, value))
    reach = _SHARE * (last - first) / 2
    below = back(at - reach) if at - reach > first else low
    above = back(at + reach) if at + reach < last else high
    width = above - below
    if below != low:
        size = min(below, width) if distribution.log else width
        below = max(low, min(value, _short(below, size, ROUND_FLOOR)))
    if above != high:
        above = min(high, max(value, _short(above, width, ROUND_CEILING)))
    if not takes_float(TrialConfig, path):
        below, above = math.floor(below), math.ceil(above)
    return distribution.model_copy(update={"low": below, "high": above, "step": None, "when": None})


def _short(bound: float, size: float, rounding: str) -> float:
    """To so many digits of `size`, away from what was found."""
    if size <= 0:
        return bound
    last = math.floor(math.log10(size)) - _DIGITS + 1
    return float(Decimal(bound).quantize(Decimal(1).scaleb(last), rounding))
