"""All that an MLflow store knows of an experiment, to be compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import Run

Contents = dict[str, dict[str, Any]]


def contents(uri: str, experiment: str, artifacts: Path | None = None) -> Contents:
    """Run id to its name, status, times, params, tags, full histories and files.

    What a machine was busy with is left out: it is no record of the study.

    Args:
        artifacts: folder of a server that has all files; None: where the store says.
    """
    client = MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    return {run.info.run_id: _run(client, run, artifacts) for run in runs}


def by_name(found: Contents) -> Contents:
    """The same without ids, for stores that gave others; no two runs have one name."""
    named = {run["name"]: run for run in found.values()}
    assert len(named) == len(found)
    ours = {"mlflow.parentRunId"}
    return {
        name: run | {"tags": {k: v for k, v in run["tags"].items() if k not in ours}}
        for name, run in named.items()
    }


def _run(client: MlflowClient, run: Run, artifacts: Path | None) -> dict[str, Any]:
    place = urlsplit(run.info.artifact_uri)
    files = Path(place.path) if artifacts is None else artifacts / place.path.lstrip("/")
    names = [name for name in run.data.metrics if not name.startswith("system/")]
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": run.data.tags,
        "files": sorted(str(f.relative_to(files)) for f in files.rglob("*") if f.is_file()),
        "metrics": {
            name: sorted(
                (point.step, point.timestamp, point.value)
                for point in client.get_metric_history(run.info.run_id, name)
            )
            for name in names
        },
    }
