"""Studies as a service: driven from a laptop through a cluster's Jobs API, or on this machine."""

from tune_diffreg.jobs.address import is_jobs_address, require_jobs_address
from tune_diffreg.jobs.admission import admit
from tune_diffreg.jobs.local import follow_events, stop_here
from tune_diffreg.jobs.remote import (
    answer_of,
    follow_log,
    read_log,
    resume_there,
    state_there,
    stop_there,
    studies_there,
    submit,
)

__all__ = [
    "admit",
    "answer_of",
    "follow_events",
    "follow_log",
    "is_jobs_address",
    "read_log",
    "require_jobs_address",
    "resume_there",
    "state_there",
    "stop_here",
    "stop_there",
    "studies_there",
    "submit",
]
