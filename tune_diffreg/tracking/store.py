"""An MLflow store as we write to it: one experiment, its runs found by tags, few requests."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from tune_diffreg.results.journal import Event
from tune_diffreg.study import TrialConfig
from tune_diffreg.study.space import flatten
from tune_diffreg.tracking.problems import is_refusal, reason
from tune_diffreg.tracking.uri import Place

DESCRIPTION = "mlflow.note.content"
# Without it the UI opens the experiment as one about language models.
_KIND = {"mlflow.experimentKind": "custom_model_development"}
_LONGEST_NAME = 250  # MLflow refuses longer ones
_LONGEST_VALUE = 6000
_MOST_ENTRIES = 500  # of at most 1,000 that it takes in a request
_RUNS_IN_A_PAGE = 200  # so that a slow server answers in time

for _name in ("mlflow", "alembic"):
    logging.getLogger(_name).setLevel(logging.ERROR)

Entry = Param | RunTag | Metric


@dataclass
class Batch:
    """What is to be sent to one run in one request."""

    params: list[Param] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)

    def entries(self) -> list[Entry]:
        tags = [RunTag(key, clean_text(value)) for key, value in self.tags.items()]
        return [*self.params, *tags, *self.metrics]


class Store:
    """One experiment. What is added to a run waits until it is flushed.

    Args:
        set_aside: called with a run, what it was refused, and why.
    """

    def __init__(self, place: Place, set_aside: Callable[[str, str, str], None]) -> None:
        self.client = MlflowClient(place.uri)
        self._place = place
        self._set_aside = set_aside
        self._batches: dict[str, Batch] = defaultdict(Batch)
        self._witness: tuple[str, RunTag] | None = None

    def open(self) -> None:
        """Finds the experiment, or makes it."""
        name, artifacts = self._place.experiment, self._place.artifacts
        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = None if artifacts is None else artifacts.resolve().as_uri()
            self._experiment = self.client.create_experiment(name, location, _KIND)
        else:
            self._experiment = found.experiment_id

    def find(self, tag: str, value: str) -> list[Run]:
        """All runs with a tag of that value."""
        runs: list[Run] = []
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self._experiment],
                f"tags.`{tag}` = '{value}'",
                max_results=_RUNS_IN_A_PAGE,
                page_token=token,
            )
            runs += page
            token = page.token
            if not token:
                return runs

    def create(self, name: str, tags: dict[str, str], time: int) -> str:
        """A new run's id."""
        cleaned = {key: clean_text(value) for key, value in tags.items()}
        run = self.client.create_run(self._experiment, time, cleaned, run_name=clean_text(name))
        return str(run.info.run_id)

    def trust(self, run_id: str, tag: str, value: str) -> None:
        """Names a tag that a run has: a store that refuses even that refuses everything."""
        self._witness = run_id, RunTag(tag, value)

    def batch(self, run_id: str) -> Batch:
        """What waits for a run, to add to."""
        return self._batches[run_id]

    def flush(self) -> None:
        """Sends what waits."""
        for run_id in list(self._batches):
            self.flush_run(run_id)

    def flush_run(self, run_id: str) -> None:
        """Sends what waits for one run."""
        entries = self._batches.pop(run_id, Batch()).entries()
        for first in range(0, len(entries), _MOST_ENTRIES):
            self._log(run_id, entries[first : first + _MOST_ENTRIES])

    def file(self, run_id: str, path: Path) -> None:
        """Sends a file, if it is there."""
        if path.exists():
            self.client.log_artifact(run_id, str(path))

    @contextmanager
    def setting_aside(self, run: str, what: str) -> Iterator[None]:
        """Goes on after what MLflow refuses. An outage ends it as ever.

        Raises:
            ConnectionError: it refuses also what it has taken before.
        """
        try:
            yield
        except Exception as error:
            if not is_refusal(error):
                raise
            self._prove()
            self._set_aside(run, what, reason(error))

    def _log(self, run_id: str, entries: list[Entry]) -> None:
        """Sends entries together; those of which one is refused in halves, down to that one."""
        if len(entries) == 1:
            with self.setting_aside(run_id, _shown(entries[0])):
                self._log_batch(run_id, entries)
            return
        try:
            self._log_batch(run_id, entries)
        except Exception as error:
            if not is_refusal(error):
                raise
            middle = len(entries) // 2
            self._log(run_id, entries[:middle])
            self._log(run_id, entries[middle:])

    def _log_batch(self, run_id: str, entries: list[Entry]) -> None:
        self.client.log_batch(
            run_id,
            [entry for entry in entries if isinstance(entry, Metric)],
            [entry for entry in entries if isinstance(entry, Param)],
            [entry for entry in entries if isinstance(entry, RunTag)],
        )

    def _prove(self) -> None:
        """Raises ConnectionError where MLflow takes nothing at all."""
        if self._witness is not None:
            run_id, tag = self._witness
            try:
                self.client.log_batch(run_id, tags=[tag])
            except Exception as error:
                raise ConnectionError(reason(error)) from error


def params(config: TrialConfig) -> list[Param]:
    """Every setting by its dotted path."""
    return [
        Param(clean_name(key), clean_text(str(value))[:_LONGEST_VALUE])
        for key, value in flatten(config.model_dump(mode="json")).items()
    ]


def metrics(event: Event, time: int, samples: int) -> list[Metric]:
    """The scores of an event, at its images seen, and on how many `samples` they were taken."""
    scores = {**event["scores"], "seconds": event["seconds"], "samples": samples}
    return [
        Metric(clean_name(name), value, time, event["images"]) for name, value in scores.items()
    ]


def milliseconds(event: Event) -> int:
    """When an event was, as MLflow counts."""
    return int(event["time"] * 1000)


def clean_name(name: str) -> str:
    """The name under which MLflow takes a score or a setting, which may be a user's own words."""
    return re.sub(r"[^\w.\- ]", "_", name)[:_LONGEST_NAME]


def clean_text(text: str) -> str:
    """Text without what databases refuse: the character 0 and halves of surrogate pairs."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()


def _shown(entry: Entry) -> str:
    if isinstance(entry, Metric):
        return f"metric {entry.key} = {entry.value} at {entry.step}"
    return f"{'tag' if isinstance(entry, RunTag) else 'param'} {entry.key}"
