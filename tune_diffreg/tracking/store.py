"""An MLflow store as we write to it: one experiment, its runs found by tags, few requests."""

from __future__ import annotations

import logging
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
# A dead server must not hold a delivery up for minutes; the follower tries again later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from tune_diffreg.results.journal import Event
from tune_diffreg.study import TrialConfig
from tune_diffreg.study.space import flatten

DESCRIPTION = "mlflow.note.content"
# Without it the UI opens the experiment as one about language models.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
_LONGEST_PARAM = 6000  # MLflow refuses a longer value
_MOST_METRICS = 500  # of at most 1,000 entries that it takes in a request

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)


@dataclass
class Batch:
    """What is to be sent to one run in one request."""

    params: list[Param] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


class Store:
    """One experiment of the store at `uri`. What is added to a run waits until it is flushed.

    Args:
        artifacts: folder of the experiment's files, where it is made and the store has no place
            of its own for them.
    """

    def __init__(self, uri: str, experiment: str, artifacts: Path | None) -> None:
        self.client = MlflowClient(uri)
        self._name = experiment
        self._artifacts = artifacts
        self._batches: dict[str, Batch] = defaultdict(Batch)

    def open(self) -> None:
        """Finds the experiment, or makes it."""
        found = self.client.get_experiment_by_name(self._name)
        if found is None:
            location = None if self._artifacts is None else self._artifacts.resolve().as_uri()
            self._experiment = self.client.create_experiment(self._name, location, _KIND)
        else:
            self._experiment = found.experiment_id

    def find(self, tag: str, value: str) -> list[Run]:
        """All runs with a tag of that value."""
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self._experiment], f"tags.`{tag}` = '{value}'", page_token=token
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def create(self, name: str, tags: dict[str, str], time: int) -> str:
        """A new run's id."""
        run = self.client.create_run(self._experiment, time, tags, run_name=name)
        return str(run.info.run_id)

    def batch(self, run_id: str) -> Batch:
        """What waits for a run, to add to."""
        return self._batches[run_id]

    def flush(self) -> None:
        """Sends what waits."""
        for run_id in list(self._batches):
            self.flush_run(run_id)

    def flush_run(self, run_id: str) -> None:
        """Sends what waits for one run."""
        batch = self._batches.pop(run_id)
        tags = [RunTag(key, value) for key, value in batch.tags.items()]
        first, *more = _chunks(batch.metrics, _MOST_METRICS) or [[]]
        self.client.log_batch(run_id, first, batch.params, tags)
        for metrics in more:
            self.client.log_batch(run_id, metrics)


def params(config: TrialConfig) -> list[Param]:
    """Every setting by its dotted path."""
    return [
        Param(key, str(value)[:_LONGEST_PARAM])
        for key, value in flatten(config.model_dump(mode="json")).items()
    ]


def metrics(event: Event, time: int) -> list[Metric]:
    """The scores of an event, at its images seen."""
    scores = {**event["scores"], "seconds": event["seconds"]}
    return [Metric(name, value, time, event["images"]) for name, value in scores.items()]


def milliseconds(event: Event) -> int:
    """When an event was, as MLflow counts."""
    return int(event["time"] * 1000)


def _chunks(metrics: list[Metric], most: int) -> list[list[Metric]]:
    return [metrics[i : i + most] for i in range(0, len(metrics), most)]
