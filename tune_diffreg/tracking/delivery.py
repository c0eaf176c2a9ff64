"""The journal's events as MLflow runs: one parent a study, one child a trial.

The journal is the queue: what is delivered up to which byte stands in a file beside it. Delivering
an event twice is the same as once, since runs are found by their tags and a metric is identified
by its key, step, time and value.
"""

from __future__ import annotations

import json
import logging
import os
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
# A dead server must not hold a delivery up for minutes; the follower tries again later.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from tune_diffreg.files import write_atomically
from tune_diffreg.results import StudyFolder
from tune_diffreg.results.confirmation import Repetition, apply_repetition, repeated_config
from tune_diffreg.results.journal import Event, events_from
from tune_diffreg.results.trials import TrialRecord, apply
from tune_diffreg.study import Study, TrialConfig
from tune_diffreg.tracking.uri import tracking_uri

_PARENT = "mlflow.parentRunId"
_KEY = "tune_diffreg.study"
_TRIAL = "trial_id"
_STATE = "trial_state"
_PHASE = "phase"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
# Without it the UI opens the experiment as one about language models.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
# What a trial's scores were taken with; the parent has the versions of all packages too.
_PART_OF_A_SCORE = ("data_sha256", "features", "features_sha256")
_LONGEST_PARAM = 6000  # MLflow refuses a longer value
_MOST_METRICS = 500  # of at most 1,000 entries that it takes in a request
_MOST_WAITING = 200  # events, before they are sent

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)


@dataclass
class _Batch:
    """What is to be sent to one run in one request."""

    params: list[Param] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)


class Delivery:
    """Brings one study's journal to MLflow, from where the last delivery ended.

    Events that wait together go together, a request a run, so that a slow server is sent fewer and
    not more. After an exception make a new one: it looks up what MLflow has.
    """

    def __init__(self, study: Study, folder: StudyFolder) -> None:
        self._study = study
        self._folder = folder
        self._client = MlflowClient(tracking_uri(study, folder.storage))
        self._records: dict[str, TrialRecord] = {}
        self._repetitions: dict[str, Repetition] = {}
        self._runs: dict[str, str] = {}
        self._batches: dict[str, _Batch] = defaultdict(_Batch)
        self._provenance: dict[str, str] = {}
        self._parent = ""
        self._read = 0
        self._delivered = self._load_offset()

    def deliver(self) -> None:
        """Delivers all events that are in the journal now.

        Raises:
            Exception: whatever MLflow raises; nothing is lost, and another delivery goes on.
        """
        events = events_from(self._folder.journal, self._read)
        for number, (event, offset) in enumerate(events, 1):
            if not self._parent:
                self._find_or_create_parent(event)
            apply(self._records, event)
            apply_repetition(self._repetitions, event)
            self._provenance = event.get("provenance", self._provenance)
            self._read = offset
            if offset > self._delivered:
                self._send(event)
            if number % _MOST_WAITING == 0:
                self._flush()
        self._flush()

    def waiting(self) -> int:
        """How many events are in the journal and not in MLflow."""
        return sum(1 for _ in events_from(self._folder.journal, self._delivered))

    def finish(self, summary: dict[str, Any]) -> None:
        """Gives the parent run the results and its final status."""
        for path in (
            self._folder.trials_csv,
            self._folder.best,
            self._folder.summary,
            self._folder.report,
        ):
            if path.exists():
                self._client.log_artifact(self._parent, str(path))
        best = summary["best"]
        if best is not None:
            self._client.set_tag(self._parent, "best_trial", best["trial_id"])
            self._client.set_tag(self._parent, "best_is_feasible", str(best["feasible"]).lower())
            for name, value in {
                summary["objective"]["metric"]: best["value"],
                **best["constraints"],
            }.items():
                self._client.log_metric(self._parent, f"best_{name}", value)
        status = {"complete": "FINISHED", "failed": "FAILED"}.get(summary["state"], "KILLED")
        self._client.set_terminated(self._parent, status)

    def _send(self, event: Event) -> None:
        kind, time = event["event"], int(event["time"] * 1000)
        if kind == "session":
            self._client.update_run(self._parent, status="RUNNING")
            self._batches[self._parent].tags.update(self._provenance)
        elif kind == "start":
            self._send_start(self._records[event["trial"]], time)
        elif kind == "report":
            batch = self._batches[self._runs[event["trial"]]]
            batch.metrics += _metrics(event, time)
            if event["decision"] == "pause":
                batch.tags[_STATE] = "paused"
        elif kind == "promote":
            self._batches[self._runs[event["trial"]]].tags[_STATE] = "running"
        elif kind == "end":
            self._send_end(event["trial"], event["state"], event["reason"], time)
        elif kind == "repeat":
            self._send_repeat(self._repetitions[event["run"]], time)
        elif kind == "repeated":
            self._batches[self._runs[event["run"]]].metrics += _metrics(event, time)
            self._send_end(event["run"], "complete", None, time)
        elif kind == "repeat_failed":
            self._send_end(event["run"], "failed", event["reason"], time)

    def _send_start(self, record: TrialRecord, time: int) -> None:
        tags = {
            _PHASE: "search",
            "baseline": record.baseline or "",
            "control": str(record.control).lower(),
        }
        config = self._study.trial_config(record.values)
        self._start(record.id, record.label, config, tags, time)

    def _send_repeat(self, run: Repetition, time: int) -> None:
        record = self._records[run.trial]
        tags = {_PHASE: "confirmation", "confirms": run.trial, "baseline": record.baseline or ""}
        config = repeated_config(self._study, record, run)
        self._start(run.id, f"{record.label}, fresh seed {run.number}", config, tags, time)

    def _start(
        self, name: str, label: str, config: TrialConfig, tags: dict[str, str], time: int
    ) -> None:
        run_id = self._runs.get(name)
        if run_id is None:
            all_tags = {
                _PARENT: self._parent,
                _TRIAL: name,
                _STATE: "running",
                **tags,
                **{k: v for k, v in self._provenance.items() if k in _PART_OF_A_SCORE},
            }
            run = self._client.create_run(self._experiment, time, all_tags, run_name=label)
            run_id = self._runs[name] = run.info.run_id
        self._batches[run_id].params += [
            Param(key, str(value)[:_LONGEST_PARAM])
            for key, value in flatten(config.model_dump(mode="json")).items()
        ]

    def _send_end(self, name: str, state: str, reason: str | None, time: int) -> None:
        run_id = self._runs[name]
        tags = self._batches[run_id].tags
        tags[_STATE] = state
        if reason:
            tags["reason"] = reason
        self._flush_run(run_id)
        sheet = self._folder.trial(name) / "samples.png"
        if sheet.exists():
            self._client.log_artifact(run_id, str(sheet))
        self._client.set_terminated(run_id, _STATUS[state], time)

    def _flush(self) -> None:
        """Sends what waits, and notes that all that was read is delivered."""
        for run_id in list(self._batches):
            self._flush_run(run_id)
        if self._read > self._delivered:
            self._delivered = self._read
            write_atomically(self._folder.delivery, json.dumps({"delivered": self._delivered}))

    def _flush_run(self, run_id: str) -> None:
        batch = self._batches.pop(run_id)
        tags = [RunTag(key, value) for key, value in batch.tags.items()]
        first, *more = _chunks(batch.metrics, _MOST_METRICS) or [[]]
        self._client.log_batch(run_id, first, batch.params, tags)
        for metrics in more:
            self._client.log_batch(run_id, metrics)

    def _find_or_create_parent(self, first: Event) -> None:
        """Finds what earlier deliveries made, by tags, or makes the experiment and its parent run.

        The first event's time tells this study from another of its name that was deleted.
        """
        name, key = self._study.name, f"{self._study.name}@{first['time']}"
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            artifacts = self._folder.storage.resolve() / "mlflow-artifacts" / name
            location = None if self._study.tracking.uri else artifacts.as_uri()
            self._experiment = self._client.create_experiment(name, location, _KIND)
        else:
            self._experiment = experiment.experiment_id
        found = self._client.search_runs([self._experiment], f"tags.`{_KEY}` = '{key}'")
        if found:
            self._parent = found[0].info.run_id
            self._find_children()
        else:
            time = int(first["time"] * 1000)
            self._delivered = 0  # what an earlier store was told, this one was not
            self._parent = self._client.create_run(
                self._experiment, time, {_KEY: key}, run_name=name
            ).info.run_id
        self._client.log_artifact(self._parent, str(self._folder.study))

    def _find_children(self) -> None:
        token: str | None = None
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`{_PARENT}` = '{self._parent}'", page_token=token
            )
            self._runs.update({run.data.tags[_TRIAL]: run.info.run_id for run in page})
            token = page.token
            if not token:
                return

    def _load_offset(self) -> int:
        try:
            return int(json.loads(self._folder.delivery.read_text())["delivered"])
        except FileNotFoundError:
            return 0


def _metrics(event: Event, time: int) -> list[Metric]:
    scores = {**event["scores"], "seconds": event["seconds"]}
    return [Metric(name, value, time, event["images"]) for name, value in scores.items()]


def _chunks(metrics: list[Metric], most: int) -> list[list[Metric]]:
    return [metrics[i : i + most] for i in range(0, len(metrics), most)]


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections as dotted paths."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
