"""A study's journal as MLflow runs: one parent the study, one child a trial or a repetition."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Run

from tune_diffreg.results import StudyFolder
from tune_diffreg.results.confirmation import Repetition, apply_repetition, repeated_config
from tune_diffreg.results.folder import PAIRS, SAMPLES
from tune_diffreg.results.journal import Event
from tune_diffreg.results.trials import TrialRecord, apply
from tune_diffreg.study import Study, TrialConfig
from tune_diffreg.tracking.courier import Courier
from tune_diffreg.tracking.description import description, run_name
from tune_diffreg.tracking.registry import Chosen, register
from tune_diffreg.tracking.spool import Spool
from tune_diffreg.tracking.store import DESCRIPTION, clean_name, metrics, milliseconds, params
from tune_diffreg.tracking.uri import study_place

_PARENT = "mlflow.parentRunId"
_KEY = "tune_diffreg.study"
_TRIAL = "trial_id"
_STATE = "trial_state"
_PHASE = "phase"
_SPLIT = "split"
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}
# What a trial's scores were taken with; the parent has the versions of all packages too.
_PART_OF_A_SCORE = ("data_sha256", "features", "features_sha256")


class Delivery(Courier):
    """Brings one study's journal to MLflow."""

    def __init__(
        self, study: Study, folder: StudyFolder, spool: Spool | None = None, live: bool = True
    ) -> None:
        spool = spool or Spool(folder.journal, folder.delivery)
        super().__init__(spool, study_place(study, folder.storage), _KEY, live)
        self._study = study
        self._folder = folder
        self._records: dict[str, TrialRecord] = {}
        self._repetitions: dict[str, Repetition] = {}
        self._runs: dict[str, str] = {}
        self._provenance: dict[str, str] = {}

    def _apply(self, event: Event) -> None:
        apply(self._records, event)
        apply_repetition(self._repetitions, event)
        self._provenance = event.get("provenance", self._provenance)

    def _send(self, event: Event) -> None:
        kind, time = event["event"], milliseconds(event)
        if kind == "session":
            self._store.client.update_run(self._run, status="RUNNING")
            self._store.batch(self._run).tags.update(self._provenance)
        elif kind in ("start", "repeat"):
            self._run_of(self._subject(event), time, begins=True)
        elif kind == "report":
            batch = self._store.batch(self._run_of(event["trial"], time))
            batch.metrics += metrics(event, time, self._study.samples_at(event["images"]))
            if event["decision"] == "pause":
                batch.tags[_STATE] = "paused"
        elif kind == "promote":
            self._store.batch(self._run_of(event["trial"], time)).tags[_STATE] = "running"
        elif kind == "end":
            self._send_end(event["trial"], event["state"], event["reason"], time)
        elif kind == "repeated":
            batch = self._store.batch(self._run_of(event["run"], time))
            batch.metrics += metrics(event, time, self._study.evaluation.samples)
            self._send_end(event["run"], "complete", None, time)
        elif kind == "repeat_failed":
            self._send_end(event["run"], "failed", event["reason"], time)

    def _run_of(self, name: str, time: int, begins: bool = False) -> str:
        """The run of a trial or a repetition, made where MLflow has none (any more).

        Args:
            time: when it begins, if it is made, in milliseconds.
            begins: whether to tell its settings, though the run may be there already: what made it
                may have got no further.
        """
        known = name in self._runs
        if known and not begins:
            return self._runs[name]
        if name in self._repetitions:
            label, config, tags = self._of_repetition(self._repetitions[name])
        else:
            label, config, tags = self._of_trial(self._records[name])
        if not known:
            all_tags = {
                _PARENT: self._run,
                _TRIAL: name,
                _STATE: "running",
                **tags,
                **{k: v for k, v in self._provenance.items() if k in _PART_OF_A_SCORE},
            }
            self._runs[name] = self._store.create(label, all_tags, time)
        self._store.batch(self._runs[name]).params += params(config)
        return self._runs[name]

    def _of_trial(self, record: TrialRecord) -> tuple[str, TrialConfig, dict[str, str]]:
        tags = {
            _PHASE: "search",
            _SPLIT: "validation",
            "baseline": record.baseline or "",
            "control": _yes(record.control),
        }
        return run_name(record), self._study.trial_config(record.values), tags

    def _of_repetition(self, run: Repetition) -> tuple[str, TrialConfig, dict[str, str]]:
        record = self._records[run.trial]
        tags = {
            _PHASE: "confirmation",
            _SPLIT: "test",
            "confirms": run.trial,
            "baseline": record.baseline or "",
        }
        config = repeated_config(self._study, record, run)
        return f"{record.label}, fresh seed {run.number}", config, tags

    def _send_end(self, name: str, state: str, reason: str | None, time: int) -> None:
        run_id = self._run_of(name, time)
        tags = self._store.batch(run_id).tags
        tags[_STATE] = state
        subject = self._repetitions.get(name) or self._records[name]
        if state == "complete":  # no other is of full length
            tags["feasible"] = _yes(self._study.objective.violation(subject.scores) == 0)
        if reason:
            tags["reason"] = reason
        self._store.flush_run(run_id)
        self._store.client.set_terminated(run_id, _STATUS[state], time)

    def _send_files(self) -> None:
        """What trials left for good; after the records, which no full disk must hold up."""
        if self._position.files == 0:
            self._store.file(self._run, self._folder.study)
        done = self._position.files
        try:
            for event, offset in self._events(done):
                if offset > self._read:
                    break
                name = self._subject(event)
                if event["event"] in ("end", "repeated", "repeat_failed") and name in self._runs:
                    for sheet in (SAMPLES, PAIRS):
                        self._store.file(self._runs[name], self._folder.of_trial(name, sheet))
                done = offset
        finally:
            self._note(replace(self._position, files=done))

    def _send_results(self, summary: dict[str, Any], model: Path | None) -> None:
        text = description(self._study, summary)
        batch = self._store.batch(self._run)
        batch.tags[DESCRIPTION] = text
        best = summary["best"]
        if best is not None:
            batch.tags["best_trial"] = best["trial_id"]
            batch.tags["best_is_feasible"] = _yes(best["feasible"])
            values = {summary["objective"]["metric"]: best["value"], **best["constraints"]}
            batch.metrics += [
                Metric(clean_name(f"best_{name}"), value, self._time, 0)
                for name, value in values.items()
            ]
        confirmation = summary["confirmation"]
        if confirmation is not None:
            batch.tags["best_is_confirmed_to_improve"] = _yes(confirmation["improves"])
            chosen = confirmation["candidates"][confirmation["chosen"]]
            batch.metrics += [
                Metric(clean_name(f"confirmed_{name}{end}"), found[key], self._time, 0)
                for name, found in chosen["scores"].items()
                for end, key in (("", "mean"), ("_low", "low"), ("_high", "high"))
                if found[key] is not None
            ]
        self._store.flush()
        status = {"complete": "FINISHED", "failed": "FAILED"}.get(summary["state"], "KILLED")
        self._store.client.set_terminated(self._run, status, self._time)
        folder = self._folder
        for path in (folder.trials_csv, folder.best, folder.summary, folder.report):
            self._store.file(self._run, path)
        if model is not None and best is not None:
            with self._store.setting_aside(self._name, "model"):
                chosen = Chosen(self._name, self._run, best["trial_id"], text)
                register(self._store.client, chosen, model)
        self._remove_copies()

    def _create(self, first: Event, tags: dict[str, str]) -> str:
        told = {DESCRIPTION: description(self._study, None)}
        return self._store.create(self._name, tags | told, milliseconds(first))

    def _found(self, runs: list[Run]) -> Run:
        """The one with children; of children, too, those that were told something."""
        children = {run.info.run_id: self._children(run.info.run_id) for run in runs}
        chosen = max(runs, key=lambda run: len(children[run.info.run_id]))
        by_name = defaultdict(list)
        for run in children[chosen.info.run_id]:
            by_name[run.data.tags[_TRIAL]].append(run)
        self._runs = {
            name: max(same, key=lambda run: len(run.data.params)).info.run_id
            for name, same in by_name.items()
        }
        return chosen

    def _children(self, parent: str) -> list[Run]:
        return [run for run in self._store.find(_PARENT, parent) if _TRIAL in run.data.tags]

    def _remove_copies(self) -> None:
        """Deletes empty runs that a server made late, of requests that were sent once more."""
        for run in self._children(self._run):
            known = self._runs.get(run.data.tags[_TRIAL])
            if known is not None and known != run.info.run_id and not run.data.params:
                self._store.client.delete_run(run.info.run_id)
        for run in self._store.find(_KEY, self._identity):
            if run.info.run_id != self._run and not self._children(run.info.run_id):
                self._store.client.delete_run(run.info.run_id)

    def _name_of(self, run_id: str) -> str:
        names = [name for name, known in self._runs.items() if known == run_id]
        return names[0] if names else super()._name_of(run_id)


def _yes(value: bool) -> str:
    """As MLflow's tags and filters have it, which are text."""
    return str(value).lower()
