"""Studies as a service: driven from a laptop through a cluster's Jobs API, or on this machine."""

from tune_diffreg.jobs.address import is_jobs_address, require_jobs_address
from tune_diffreg.jobs.admission import admit, readmit
from tune_diffreg.jobs.local import stop_here
from tune_diffreg.jobs.logs import (
    as_text,
    follow_log,
    follow_log_as_data,
    log_as_data,
    log_lines,
    read_log,
)
from tune_diffreg.jobs.remote import (
    answer_of,
    resume_there,
    state_there,
    stop_there,
    studies_there,
    submit,
)

__all__ = [
    "admit",
    "answer_of",
    "as_text",
    "follow_log",
    "follow_log_as_data",
    "is_jobs_address",
    "log_as_data",
    "log_lines",
    "read_log",
    "readmit",
    "require_jobs_address",
    "resume_there",
    "state_there",
    "stop_here",
    "stop_there",
    "studies_there",
    "submit",
]
