"""Remembering: the journal's events in MLflow, delivered from a thread of their own."""

from tune_diffreg.tracking.follower import (
    ENDING_SECONDS,
    Follower,
    Outcome,
    study_delivery,
    training_delivery,
)
from tune_diffreg.tracking.spool import Spool
from tune_diffreg.tracking.ui import pages, serve
from tune_diffreg.tracking.uri import local_uri, tracking_uri

__all__ = [
    "ENDING_SECONDS",
    "Follower",
    "Outcome",
    "Spool",
    "local_uri",
    "pages",
    "serve",
    "study_delivery",
    "tracking_uri",
    "training_delivery",
]
