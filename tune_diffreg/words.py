"""Numbers and names as people read them."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tune_diffreg.mirror import address_of

_NAMES = {
    "fid": "FID",
    "kid": "KID",
    "memorized_fraction": "memorised fraction",
    "heldout_memorized_fraction": "the same of held-out images",
    "heldout_authentic_fraction": "the same of held-out images",
    "median_distance_ratio": "median distance to training, over that of held-out images",
    "mann_whitney_z": "Mann-Whitney Z (below 0: nearer to training than held-out images)",
    "c_t": "C_T (below 0: nearer to training than held-out images)",
}
_FEATURES = {"digits_cnn": "digits CNN features", "pixels": "8x8 pixels", "dinov2": "DINOv2",
             "clip": "CLIP"}  # fmt: skip
_DISTANCES = {"fd_": "FD ({}, not Inception FID)", "kd_": "KD ({}, not Inception KID)"}
_PERCENT = (
    "memorized_fraction", "heldout_memorized_fraction", "authentic_fraction",
    "heldout_authentic_fraction",
)  # fmt: skip
_COARSE = 10.0
"""From here on a score has one decimal."""


def score_name(name: str, short: bool = False) -> str:
    """A score's name in full, or short where the full one was said before."""
    if name.endswith("_se"):
        return f"{score_name(name.removesuffix('_se'), short=True)} standard error"
    if name.endswith("_infinity"):
        of = score_name(name.removesuffix("_infinity"), short)
        return f"{of} at infinitely many images"
    full = _NAMES.get(name, name.replace("_", " "))
    for prefix, text in _DISTANCES.items():
        if name.startswith(prefix):
            features = name.removeprefix(prefix)
            full = text.format(_FEATURES.get(features, features))
    return full.split(" (")[0] if short else full


def score(name: str, value: float | None) -> str:
    """A score with the digits that mean something."""
    if value is None:
        return "-"
    if name in _PERCENT:
        return f"{value:.1%}"
    return f"{value:.3f}" if abs(value) < _COARSE else f"{value:.1f}"


def within(name: str, value: float | None, reach: float | None) -> str:
    """A score and how far it may be off to either side, with as many decimals as the coarser."""
    if value is None or reach is None:
        return score(name, value)
    if name in _PERCENT:
        return f"{value:.1%} ± {reach:.1%}"
    largest = max(abs(value), reach)
    decimals = 1 if largest >= _COARSE else 2 if largest >= 1 else 3
    return f"{value:.{decimals}f} ± {reach:.{decimals}f}"


def floor_sentence(metric: str, floor: Mapping[str, Any]) -> str:
    """What real images score, where `metric` is the Fréchet distance that they have.

    Args:
        floor: the value, how many images it is of, and how many it was measured with.
    """
    about = "about " if floor["measured"] != floor["images"] else ""
    name = score_name(metric, short=True)
    return f"{floor['images']:,} real images score {name} {about}{score(metric, floor['value'])}"


def constraint(name: str, bound: Mapping[str, float]) -> str:
    """A bound on a score: {max: ...}, {min: ...} or {over_heldout: ...}, or several of them."""
    return f"{score_name(name, short=True)} {allowed(name, bound)}"


def allowed(name: str, bound: Mapping[str, float]) -> str:
    """The bound alone."""
    texts = {"max": "at most {}", "min": "at least {}",
             "over_heldout": "at most that of held-out images + {}"}  # fmt: skip
    parts = [texts[kind].format(score(name, value)) for kind, value in bound.items()]
    return " and ".join(parts)


def setting(value: Any) -> str:
    """A setting's value, numbers to three significant digits."""
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def knob(path: str, searched: Iterable[str]) -> str:
    """A dotted path without its section, where no other of the searched paths ends alike."""
    short = path.split(".", 1)[-1]
    alike = sum(other.split(".", 1)[-1] == short for other in searched)
    return short if alike <= 1 else path


def counted(number: int, thing: str) -> str:
    """A number of things: 1 control, 2 controls."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def program() -> str:
    """What to type to get this program again: its name, or where it is if it is not on the path."""
    started = Path(sys.argv[0])
    if started.name != "tune-diffreg" or shutil.which("tune-diffreg"):
        return "tune-diffreg"
    return os.path.relpath(started)


def storage_option(storage: Path) -> str:
    """What to type after a command on a study for it to be found; nothing where it is anyway."""
    return "" if storage == Path("runs") else f" --storage {shlex.quote(address_of(storage))}"
