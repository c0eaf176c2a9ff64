"""What Ray's Prometheus endpoint exports of a study."""

from __future__ import annotations

import logging
from typing import Any

from tune_diffreg.observation.live import Live
from tune_diffreg.observation.stragglers import stragglers

log = logging.getLogger(__name__)

# Prometheus shows each with "ray_" before it.
_DESCRIPTIONS = {
    "trials": "Trials by state",
    "images_per_second": "Images seen by all trials in the last minute, a second",
    "cpu_utilisation": "Share of their CPU cores that running trials keep busy, their mean",
    "gpu_utilisation": "Share of the time that GPUs with running trials are busy, their mean",
    "stragglers": "Running trials that are silent or slow",
    "mlflow_waiting": "Records that MLflow has not taken yet",
}


class Gauges:
    """Sets the gauges of one study while Ray runs, also while it starts or stops."""

    def __init__(self, study: str) -> None:
        self._study = study
        self._gauges: dict[str, Any] = {}
        self._broken = False

    def show(self, live: Live) -> None:
        """Sets all to what is known; never fails."""
        if self._broken:
            return
        try:
            self._show(live)
        except Exception:
            self._broken = True
            log.warning("Ray takes no gauges of this study", exc_info=True)

    def _show(self, live: Live) -> None:
        import ray

        if not ray.is_initialized():
            return
        for state, number in live.trials.items():
            self._set("trials", number, state=state)
        self._set("images_per_second", live.images_per_second)
        self._set("cpu_utilisation", live.cpu)
        self._set("gpu_utilisation", live.gpu)
        self._set("stragglers", len(stragglers(live)))
        self._set("mlflow_waiting", live.waiting)

    def _set(self, name: str, value: float | None, **tags: str) -> None:
        """Sets one; where there is nothing to measure there is none."""
        from ray.util.metrics import Gauge

        if value is None:
            return
        if name not in self._gauges:
            keys = ("study", *tags)
            self._gauges[name] = Gauge(f"tune_diffreg_{name}", _DESCRIPTIONS[name], keys)
        self._gauges[name].set(value, {"study": self._study, **tags})
