"""Whether MLflow has what the journal says: every trial once, and every point of every metric."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from mlflow import MlflowClient
from mlflow.entities import Run

from tune_diffreg.results import StudyFolder, TrialRecord
from tune_diffreg.tracking import local_uri

_PARENT = "mlflow.parentRunId"


def missing_in_mlflow(folder: StudyFolder, records: dict[str, TrialRecord]) -> Iterator[str]:
    """Every run and point of a metric that is missing, there twice, or other than it should be."""
    client = MlflowClient(folder.read_study().tracking.uri or local_uri(folder.storage))
    experiment = client.get_experiment_by_name(folder.name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    by_trial: dict[str, list[Run]] = defaultdict(list)
    parents = [run for run in runs if _PARENT not in run.data.tags]
    for run in runs:
        if _PARENT in run.data.tags:
            by_trial[run.data.tags["trial_id"]].append(run)
    if [run.info.status for run in parents] != ["FINISHED"]:
        yield f"MLflow has parent runs {[run.info.status for run in parents]}"
    for name in by_trial.keys() - records.keys():
        yield f"MLflow has a run of {name}, which is no trial"
    for name, record in records.items():
        if len(by_trial[name]) != 1:
            yield f"MLflow has {len(by_trial[name])} runs of {name}"
        else:
            yield from _differences(client, by_trial[name][0], record)


def _differences(client: MlflowClient, run: Run, record: TrialRecord) -> Iterator[str]:
    """Of one trial's run."""
    state = run.data.tags["trial_state"]
    if state != record.state:
        yield f"MLflow has {record.id} as {state}, and it is {record.state}"
    expected: dict[str, Counter[tuple[int, float]]] = defaultdict(Counter)
    for report in record.reports:
        for name, value in report.scores.items():
            expected[name][report.images, value] += 1
    for name, points in expected.items():
        history = client.get_metric_history(run.info.run_id, name)
        found = Counter((metric.step, metric.value) for metric in history)
        for point in ((found - points) + (points - found)).elements():
            yield f"MLflow has {name} of {record.id} wrong at {point}"
