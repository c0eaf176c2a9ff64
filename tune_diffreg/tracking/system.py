"""What the driver's machine is busy with, in the names of MLflow's system metrics."""

from __future__ import annotations

import time

from mlflow.entities import Metric
from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor
from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor

_SECONDS = 10.0


class SystemMetrics:
    """Measures now and then; other machines of a cluster are not seen."""

    def __init__(self) -> None:
        self._monitors = _monitors()
        self._last = -_SECONDS

    def measured(self) -> list[Metric]:
        """What was measured now; nothing while the last time is not long ago."""
        if time.monotonic() - self._last < _SECONDS:
            return []
        self._last = time.monotonic()
        now = int(time.time() * 1000)
        found: list[Metric] = []
        for monitor in self._monitors:
            monitor.collect_metrics()
            values = monitor.aggregate_metrics()
            monitor.clear_metrics()
            found += [
                Metric(f"system/{name}", value, now, now // 1000) for name, value in values.items()
            ]
        return found


def _monitors() -> list[BaseMetricsMonitor]:
    """Of CPU and memory, and of the GPUs where there are any."""
    monitors: list[BaseMetricsMonitor] = [CPUMonitor()]
    try:
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor

        monitors.append(GPUMonitor())
    except Exception:  # no NVIDIA driver, or nothing installed that asks it
        pass
    return monitors
