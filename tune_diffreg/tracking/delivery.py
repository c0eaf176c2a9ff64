"""The journal's events as MLflow runs: one parent a study, one child a trial.

The journal is the queue: what is delivered up to which byte stands in a file beside it. Delivering
an event twice is the same as once, since runs are found by their tags and a metric is identified
by its key, step, time and value.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tune_diffreg.files import write_atomically
from tune_diffreg.results import StudyFolder
from tune_diffreg.results.confirmation import Repetition, apply_repetition, repeated_config
from tune_diffreg.results.folder import PAIRS, SAMPLES
from tune_diffreg.results.journal import Event, events_from
from tune_diffreg.results.trials import TrialRecord, apply
from tune_diffreg.study import Study, TrialConfig
from tune_diffreg.tracking.description import description, run_name
from tune_diffreg.tracking.registry import Chosen, register
from tune_diffreg.tracking.store import DESCRIPTION, Store, metrics, milliseconds, params
from tune_diffreg.tracking.system import SystemMetrics
from tune_diffreg.tracking.uri import local_artifacts, local_uri, tracking_uri

_PARENT = "mlflow.parentRunId"
_KEY = "tune_diffreg.study"
_TRIAL = "trial_id"
_STATE = "trial_state"
_PHASE = "phase"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
# What a trial's scores were taken with; the parent has the versions of all packages too.
_PART_OF_A_SCORE = ("data_sha256", "features", "features_sha256")
_MOST_WAITING = 200  # events, before they are sent


class Delivery:
    """Brings one study's journal to MLflow, from where the last delivery ended.

    Events that wait together go together, a request a run, so that a slow server is sent fewer and
    not more. After an exception make a new one: it looks up what MLflow has.
    """

    def __init__(self, study: Study, folder: StudyFolder) -> None:
        self._study = study
        self._folder = folder
        uri = tracking_uri(study, folder.storage)
        local = uri == local_uri(folder.storage)
        artifacts = local_artifacts(folder.storage, study.name) if local else None
        self._store = Store(uri, study.name, artifacts)
        self._records: dict[str, TrialRecord] = {}
        self._repetitions: dict[str, Repetition] = {}
        self._runs: dict[str, str] = {}
        self._provenance: dict[str, str] = {}
        self._system = SystemMetrics()
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
        if self._parent:
            self._store.batch(self._parent).metrics += self._system.measured()
        self._flush()

    def waiting(self) -> int:
        """How many events are in the journal and not in MLflow."""
        return sum(1 for _ in events_from(self._folder.journal, self._delivered))

    def finish(self, summary: dict[str, Any], model: Path | None = None) -> None:
        """Gives the parent run the results and its final status.

        Args:
            model: folder of an export, which is logged and registered.
        """
        client = self._store.client
        folder = self._folder
        for path in (folder.trials_csv, folder.best, folder.summary, folder.report):
            if path.exists():
                client.log_artifact(self._parent, str(path))
        text = description(self._study, summary)
        batch = self._store.batch(self._parent)
        batch.tags[DESCRIPTION] = text
        best = summary["best"]
        if best is not None:
            batch.tags["best_trial"] = best["trial_id"]
            batch.tags["best_is_feasible"] = str(best["feasible"]).lower()
            values = {summary["objective"]["metric"]: best["value"], **best["constraints"]}
            for name, value in values.items():
                client.log_metric(self._parent, f"best_{name}", value)
        self._store.flush()
        if model is not None and best is not None:
            chosen = Chosen(self._study.name, self._parent, best["trial_id"], text)
            register(client, chosen, model)
        status = {"complete": "FINISHED", "failed": "FAILED"}.get(summary["state"], "KILLED")
        client.set_terminated(self._parent, status)

    def _send(self, event: Event) -> None:
        kind, time = event["event"], milliseconds(event)
        if kind == "session":
            self._store.client.update_run(self._parent, status="RUNNING")
            self._store.batch(self._parent).tags.update(self._provenance)
        elif kind == "start":
            self._send_start(self._records[event["trial"]], time)
        elif kind == "report":
            batch = self._store.batch(self._runs[event["trial"]])
            batch.metrics += metrics(event, time)
            if event["decision"] == "pause":
                batch.tags[_STATE] = "paused"
        elif kind == "promote":
            self._store.batch(self._runs[event["trial"]]).tags[_STATE] = "running"
        elif kind == "end":
            self._send_end(event["trial"], event["state"], event["reason"], time)
        elif kind == "repeat":
            self._send_repeat(self._repetitions[event["run"]], time)
        elif kind == "repeated":
            self._store.batch(self._runs[event["run"]]).metrics += metrics(event, time)
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
        self._start(record.id, run_name(record), config, tags, time)

    def _send_repeat(self, run: Repetition, time: int) -> None:
        record = self._records[run.trial]
        tags = {_PHASE: "confirmation", "confirms": run.trial, "baseline": record.baseline or ""}
        config = repeated_config(self._study, record, run)
        self._start(run.id, f"{record.label}, fresh seed {run.number}", config, tags, time)

    def _start(
        self, name: str, label: str, config: TrialConfig, tags: dict[str, str], time: int
    ) -> None:
        if name not in self._runs:
            all_tags = {
                _PARENT: self._parent,
                _TRIAL: name,
                _STATE: "running",
                **tags,
                **{k: v for k, v in self._provenance.items() if k in _PART_OF_A_SCORE},
            }
            self._runs[name] = self._store.create(label, all_tags, time)
        self._store.batch(self._runs[name]).params += params(config)

    def _send_end(self, name: str, state: str, reason: str | None, time: int) -> None:
        run_id = self._runs[name]
        tags = self._store.batch(run_id).tags
        tags[_STATE] = state
        if reason:
            tags["reason"] = reason
        self._store.flush_run(run_id)
        for sheet in (self._folder.of_trial(name, sheet) for sheet in (SAMPLES, PAIRS)):
            if sheet.exists():
                self._store.client.log_artifact(run_id, str(sheet))
        self._store.client.set_terminated(run_id, _STATUS[state], time)

    def _flush(self) -> None:
        """Sends what waits, and notes that all that was read is delivered."""
        self._store.flush()
        if self._read > self._delivered:
            self._delivered = self._read
            write_atomically(self._folder.delivery, json.dumps({"delivered": self._delivered}))

    def _find_or_create_parent(self, first: Event) -> None:
        """Finds what earlier deliveries made, by tags, or makes the experiment and its parent run.

        The first event's time tells this study from another of its name that was deleted.
        """
        name, key = self._study.name, f"{self._study.name}@{first['time']}"
        self._store.open()
        found = self._store.find(_KEY, key)
        if found:
            self._parent = found[0].info.run_id
            children = self._store.find(_PARENT, self._parent)
            self._runs = {run.data.tags[_TRIAL]: run.info.run_id for run in children}
        else:
            self._delivered = 0  # what an earlier store was told, this one was not
            tags = {_KEY: key, DESCRIPTION: description(self._study, None)}
            self._parent = self._store.create(name, tags, milliseconds(first))
        self._store.client.log_artifact(self._parent, str(self._folder.study))

    def _load_offset(self) -> int:
        try:
            return int(json.loads(self._folder.delivery.read_text())["delivered"])
        except FileNotFoundError:
            return 0
