"""Remembering: the journal's events in MLflow, delivered from a thread of their own."""

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
