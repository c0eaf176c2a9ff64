"""Where a study is tracked."""

from __future__ import annotations

import os
from pathlib import Path

from tune_diffreg.study import Study


def tracking_uri(study: Study, storage: Path) -> str:
    """What the study file says, or MLFLOW_TRACKING_URI, or SQLite beside the results."""
    return study.tracking.uri or os.environ.get("MLFLOW_TRACKING_URI") or local_uri(storage)


def local_artifacts(storage: Path, study: str) -> Path:
    """Where the files of the latter lie; MLflow's own choice would be the working directory."""
    return storage / "mlflow-artifacts" / study


def local_uri(storage: Path) -> str:
    """The MLflow store that all studies of a storage folder share by default."""
    return f"sqlite:///{(storage / 'mlflow.db').resolve()}"
