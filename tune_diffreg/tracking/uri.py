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
    """Where a study is: as its file says, or MLFLOW_TRACKING_URI, or in SQLite beside it."""
    return _place(study.tracking.uri, study.name, storage)


def training_place(study: str, storage: Path) -> Place:
    """Where a production training is: on the server that MLFLOW_TRACKING_URI names, or beside."""
    return _place(None, study, storage)


def _place(named: str | None, study: str, storage: Path) -> Place:
    uri = named or os.environ.get("MLFLOW_TRACKING_URI") or local_uri(storage)
    local = uri == local_uri(storage)
    return Place(uri, study, local_artifacts(storage, study) if local else None)


def local_artifacts(storage: Path, study: str) -> Path:
    """Where the files of the latter lie; MLflow's own choice would be the working directory."""
    return storage / "mlflow-artifacts" / study


def local_uri(storage: Path) -> str:
    """The MLflow store that all studies of a storage folder share by default."""
    return f"sqlite:///{(storage / 'mlflow.db').resolve()}"
