"""Where a study is tracked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tune_diffreg.study import Study


@dataclass(frozen=True)
class Place:
    """An experiment of an MLflow store.

    Attributes:
        artifacts: folder of the experiment's files, where it is made and the store has no place
            of its own for them.
    """

    uri: str
    experiment: str
    artifacts: Path | None


def study_place(study: Study, storage: Path) -> Place:
    """Where a study is tracked."""
    artifacts = None if study.tracking.uri else local_artifacts(storage, study.name)
    return Place(tracking_uri(study, storage), study.name, artifacts)


def training_place(study: str, storage: Path) -> Place:
    """Where a production training is: on the server that MLFLOW_TRACKING_URI names, or beside."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return Place(uri or local_uri(storage), study, None if uri else local_artifacts(storage, study))


def tracking_uri(study: Study, storage: Path) -> str:
    """What the study file says, or SQLite beside the results."""
    return study.tracking.uri or local_uri(storage)


def local_artifacts(storage: Path, study: str) -> Path:
    """Where the files of that store lie; MLflow's own choice would be the working directory."""
    return storage / "mlflow-artifacts" / study


def local_uri(storage: Path) -> str:
    """The MLflow store that all studies of a storage folder share by default."""
    return f"sqlite:///{(storage / 'mlflow.db').resolve()}"
