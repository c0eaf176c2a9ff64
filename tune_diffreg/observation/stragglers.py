"""Which running trials stand out: those that are silent, and those that are slow."""

from __future__ import annotations

from statistics import median

from tune_diffreg.observation.live import Live
from tune_diffreg.words import duration

SILENT_SECONDS = 60.0
"""A trial trains in slices of seconds, but scoring at a rung gives no sign until it is done."""

SILENT_PAUSES = 3.0
"""So it must also be silent for this many times the longest pause of any trial so far."""

SLOW_SHARE = 0.5
"""Of the median speed of the running trials."""

LEAST_SPEEDS = 3
"""From fewer running trials no median is taken."""


def stragglers(live: Live) -> dict[str, str]:
    """Trial -> why it stands out. Trials that wait for a place are none."""
    speeds = {t.trial: t.images_per_second for t in live.begun if t.images_per_second}
    middle = median(speeds.values()) if len(speeds) >= LEAST_SPEEDS else 0.0
    patience = max(SILENT_SECONDS, SILENT_PAUSES * live.longest_pause_s)
    found: dict[str, str] = {}
    for trial in live.begun:
        silent, speed = trial.silent_s or 0.0, speeds.get(trial.trial, middle)
        if silent > patience:
            found[trial.trial] = (
                f"no sign of life for {duration(silent)}; the longest pause of any trial was "
                f"{duration(live.longest_pause_s)}"
            )
        elif speed < SLOW_SHARE * middle:
            found[trial.trial] = f"{speed:,.0f} images/s, where the median is {middle:,.0f}"
    return found
