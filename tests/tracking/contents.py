"""All that an MLflow store knows of an experiment, to be compared."""

from __future__ import annotations

from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run


def contents(uri: str, experiment: str = "digits") -> dict[str, dict[str, Any]]:
    """Run id to its name, status, times, params, tags, full histories and files.

    What a machine was busy with is left out: it is no record of the study.
    """
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    return {run.info.run_id: _run(client, run) for run in client.search_runs([found.experiment_id])}


def by_name(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The same without ids, for stores that gave others; no two runs have one name."""
    named = {run["name"]: run for run in found.values()}
    assert len(named) == len(found)
    ours = {"mlflow.parentRunId"}
    return {
        name: run | {"tags": {k: v for k, v in run["tags"].items() if k not in ours}}
        for name, run in named.items()
    }


def _run(client: MlflowClient, run: Run) -> dict[str, Any]:
    names = [name for name in run.data.metrics if not name.startswith("system/")]
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": run.data.tags,
        "files": sorted(file.path for file in client.list_artifacts(run.info.run_id)),
        "metrics": {
            name: sorted(
                (point.step, point.timestamp, point.value)
                for point in client.get_metric_history(run.info.run_id, name)
            )
            for name in names
        },
    }
