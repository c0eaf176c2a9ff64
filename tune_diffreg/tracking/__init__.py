"""Remembering: the journal's events in MLflow, delivered from a thread of their own."""

import os

# Read when MLflow is imported, which only what lies in here does.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# A request is sent once: after a failure the follower looks what MLflow has, and a dead server
# must not hold it up for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")

from tune_diffreg.tracking.follower import (
    ENDING_SECONDS,
    Follower,
    Outcome,
    study_delivery,
    training_delivery,
)
from tune_diffreg.tracking.spool import Spool
from tune_diffreg.tracking.ui import is_loopback, pages, serve
from tune_diffreg.tracking.uri import local_uri, study_place

__all__ = [
    "ENDING_SECONDS",
    "Follower",
    "Outcome",
    "Spool",
    "is_loopback",
    "local_uri",
    "pages",
    "serve",
    "study_delivery",
    "study_place",
    "training_delivery",
]
