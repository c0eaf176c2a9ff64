"""Remembering: the journal's events in MLflow, delivered from a thread of their own."""

from tune_diffreg.tracking.follower import Follower, study_delivery, training_delivery
from tune_diffreg.tracking.ui import is_loopback, pages, serve
from tune_diffreg.tracking.uri import local_uri, tracking_uri

__all__ = [
    "Follower",
    "is_loopback",
    "local_uri",
    "pages",
    "serve",
    "study_delivery",
    "tracking_uri",
    "training_delivery",
]
