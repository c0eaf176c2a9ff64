"""A production training's journal as one MLflow run, beside the study that it comes from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tune_diffreg.results import Best
from tune_diffreg.results.journal import Event, events_from
from tune_diffreg.tracking.store import Store, metrics, milliseconds, params
from tune_diffreg.tracking.system import SystemMetrics
from tune_diffreg.tracking.uri import local_artifacts, local_uri

_KEY = "tune_diffreg.training"


class TrainingDelivery:
    """Brings one training's journal to the experiment of its study; twice is the same as once.

    To the server that MLFLOW_TRACKING_URI names, or to the store of `storage`.
    """

    def __init__(self, best: Best, history: Path, storage: Path) -> None:
        self._best = best
        self._history = history
        uri = os.environ.get("MLFLOW_TRACKING_URI")
        artifacts = None if uri else local_artifacts(storage, best.study)
        self._store = Store(uri or local_uri(storage), best.study, artifacts)
        self._system = SystemMetrics()
        self._run = ""
        self._read = 0

    def deliver(self) -> None:
        """Delivers all events that are in the journal now."""
        if not self._history.exists():
            return
        for event, offset in events_from(self._history, self._read):
            if not self._run:
                self._find_or_create(event)
            if event["event"] == "scored":
                self._store.batch(self._run).metrics += metrics(event, milliseconds(event))
            self._read = offset
        if self._run:
            self._store.batch(self._run).metrics += self._system.measured()
        self._store.flush()

    def finish(self, summary: dict[str, Any], model: Path | None = None) -> None:
        """Gives the run its final status, and the exported model."""
        if not self._run:
            return
        if model is not None:
            self._store.client.log_artifacts(self._run, str(model), "model")
        status = "FINISHED" if summary["state"] == "complete" else "KILLED"
        self._store.client.set_terminated(self._run, status)

    def _find_or_create(self, first: Event) -> None:
        """The run of this training, known by the time it began at."""
        key = f"{self._best.study}@{first['time']}"
        self._store.open()
        found = self._store.find(_KEY, key)
        if found:
            self._run = found[0].info.run_id
            self._store.client.update_run(self._run, status="RUNNING")
            return
        tags = {_KEY: key, "phase": "production", "trial_id": self._best.trial_id}
        name = f"{self._best.trial_id}, trained"
        self._run = self._store.create(name, tags, milliseconds(first))
        self._store.batch(self._run).params += params(self._best.config)
