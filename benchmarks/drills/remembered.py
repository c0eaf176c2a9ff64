"""Whether MLflow has what the journal says: every trial once, and every point of every metric."""

from __future__ import annotations

from collections import Counter, defaultdict

from mlflow import MlflowClient
from mlflow.entities import Run

from tune_diffreg.results import StudyFolder, TrialRecord
from tune_diffreg.tracking import tracking_uri

_PARENT = "mlflow.parentRunId"


def mlflow_differences(folder: StudyFolder, records: dict[str, TrialRecord]) -> int:
    """How many runs and points of metrics are missing, there twice, or other than they should be.

    A parent run that is not there exactly once counts as one, and so does one that has not ended.
    """
    client = MlflowClient(tracking_uri(folder.read_study(), folder.storage))
    experiment = client.get_experiment_by_name(folder.name)
    if experiment is None:
        return 1 + len(records)
    by_trial: dict[str, list[Run]] = defaultdict(list)
    parents = []
    for run in client.search_runs([experiment.experiment_id]):
        if _PARENT in run.data.tags:
            by_trial[run.data.tags["trial_id"]].append(run)
        else:
            parents.append(run)
    ended = [run for run in parents if run.info.status == "FINISHED"]
    lost = abs(len(parents) - 1) + (len(parents) == 1 and not ended)
    lost += sum(len(runs) for name, runs in by_trial.items() if name not in records)
    for name, record in records.items():
        runs = by_trial[name]
        lost += abs(len(runs) - 1)
        lost += sum(_differences(client, run, record) for run in runs[:1])
    return lost


def _differences(client: MlflowClient, run: Run, record: TrialRecord) -> int:
    """Of one trial's run."""
    lost = int(run.data.tags["trial_state"] != record.state)
    expected: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for report in record.reports:
        for name, value in report.scores.items():
            expected[name].append((report.images, value))
    for name, points in expected.items():
        found = Counter((m.step, m.value) for m in client.get_metric_history(run.info.run_id, name))
        right = Counter(points)
        lost += ((found - right) + (right - found)).total()
    return lost
