"""The chosen model in MLflow's Model Registry, under the alias `champion`."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

CHAMPION = "champion"
_ARTIFACT = "model"
_TRIAL = "trial_id"
_NEEDS = ["tune-diffreg", "diffusers", "torch"]


@dataclass(frozen=True)
class Chosen:
    """What is registered: the trial of a study's parent run, and what is said of it."""

    study: str
    run_id: str
    trial: str
    description: str


def register(client: MlflowClient, chosen: Chosen, export: Path) -> None:
    """Logs an export with the run, and makes it the champion of the study's registered model.

    Once: a version of the same run and trial stays, and is described anew.
    """
    name, run_id = chosen.study, chosen.run_id
    with suppress(MlflowException):
        client.create_registered_model(name)
    found = client.search_model_versions(f"name = '{name}' and run_id = '{run_id}'")
    same = [version for version in found if version.tags.get(_TRIAL) == chosen.trial]
    if same:
        version = same[0].version
        client.update_model_version(name, version, chosen.description)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / _ARTIFACT
            mlflow.pyfunc.save_model(
                folder,
                loader_module="tune_diffreg.production.champion",
                data_path=str(export),
                pip_requirements=_NEEDS,
            )
            client.log_artifacts(run_id, str(folder), _ARTIFACT)
        version = client.create_model_version(
            name,
            f"runs:/{run_id}/{_ARTIFACT}",
            run_id,
            {_TRIAL: chosen.trial},
            description=chosen.description,
        ).version
    client.set_registered_model_alias(name, CHAMPION, version)
