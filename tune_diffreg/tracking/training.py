"""A production training's journal as one MLflow run, beside the study that it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tune_diffreg.results import Best
from tune_diffreg.results.journal import Event
from tune_diffreg.tracking.courier import Courier
from tune_diffreg.tracking.spool import Spool
from tune_diffreg.tracking.store import metrics, milliseconds, params
from tune_diffreg.tracking.uri import training_place

_KEY = "tune_diffreg.training"


class TrainingDelivery(Courier):
    """Brings one training's journal to the experiment of its study."""

    def __init__(self, best: Best, spool: Spool, storage: Path, live: bool = True) -> None:
        super().__init__(spool, training_place(best.study, storage), _KEY, live)
        self._best = best

    def _apply(self, event: Event) -> None:
        """No event is about another."""

    def _send(self, event: Event) -> None:
        if event["event"] == "session":
            self._store.client.update_run(self._run, status="RUNNING")
            self._store.batch(self._run).params = params(self._best.config)
        elif event["event"] == "scored":
            samples = self._best.config.samples_at(event["images"])
            self._store.batch(self._run).metrics += metrics(event, milliseconds(event), samples)

    def _send_files(self) -> None:
        """There are none before the model."""

    def _send_results(self, summary: dict[str, Any], model: Path | None) -> None:
        status = "FINISHED" if summary["state"] == "complete" else "KILLED"
        self._store.client.set_terminated(self._run, status, self._time)
        if model is not None:
            self._store.client.log_artifacts(self._run, str(model), "model")

    def _create(self, first: Event, tags: dict[str, str]) -> str:
        tags = {**tags, "phase": "production", "trial_id": self._best.trial_id}
        tags["split"] = "validation"
        return self._store.create(f"{self._best.trial_id}, trained", tags, milliseconds(first))
