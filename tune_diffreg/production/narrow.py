"""A follow-up study around a configuration that was found: fewer trials, a narrow space."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tune_diffreg.errors import InputError, explain
from tune_diffreg.results import Best
from tune_diffreg.study import Distribution, Study
from tune_diffreg.study.space import value_at

_SHARE = 0.25
"""Of the width of a range, what is searched about the value that was found."""
_TRIALS = 12


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
        if distribution.applies(found) and (about := _about(distribution, found[path])) is not None
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


def _about(distribution: Distribution, value: Any) -> Distribution | None:
    """A quarter of the range about the value, on the scale that was searched.

    None for choices, and for a baseline's value outside the range.
    """
    if distribution.choices is not None or not isinstance(value, int | float):
        return None
    assert distribution.low is not None and distribution.high is not None
    if not distribution.low <= value <= distribution.high:
        return None
    forward, back = (math.log, math.exp) if distribution.log else (float, float)
    low, high, at = (forward(x) for x in (distribution.low, distribution.high, value))
    reach = _SHARE * (high - low) / 2
    ends = {"low": _short(back(max(low, at - reach))), "high": _short(back(min(high, at + reach)))}
    if isinstance(distribution.low, int) and isinstance(distribution.high, int):
        ends = {"low": math.floor(ends["low"]), "high": math.ceil(ends["high"])}
    return distribution.model_copy(update={**ends, "step": None, "when": None})


def _short(value: float) -> float:
    """Three significant digits: more would only look exact."""
    return float(f"{value:.3g}")
