"""A cluster's Jobs API: the jobs of our studies, with sentences in place of Ray's errors."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.jobs.address import require_jobs_address

GRACE_SECONDS = 300
"""What a driver is given to stop cleanly before Ray kills it; its own default is 3."""

_LOST_SECONDS = 60.0
_STUDY, _STORAGE, _ATTEMPT, _MODULES = (
    f"tune_diffreg_{key}" for key in ("study", "storage", "attempt", "modules")
)
_RAY_STATES = {
    "PENDING": "pending",
    "RUNNING": "running",
    "STOPPED": "stopped",
    "SUCCEEDED": "succeeded",
    "FAILED": "failed",
}


@dataclass(frozen=True)
class StudyJob:
    """One run of a study on a cluster: its first, or what a resume started."""

    study: str
    storage: str
    attempt: int
    modules: tuple[str, ...] = ()
    """Files and folders of the user's own code that were shipped with it."""
    status: str = "pending"
    started: float = 0.0
    """Seconds since the epoch."""

    @property
    def id(self) -> str:
        """No study's name has a '~', so that none has another's."""
        again = f"~{self.attempt}" if self.attempt > 1 else ""
        return f"tune-diffreg-{self.study}{again}"

    @property
    def active(self) -> bool:
        return self.status in ("pending", "running")

    def told(self) -> dict[str, Any]:
        """What `--json` says of it."""
        return {"id": self.id, "status": self.status, "storage": self.storage}

    def metadata(self) -> dict[str, str]:
        return {
            _STUDY: self.study,
            _STORAGE: self.storage,
            _ATTEMPT: str(self.attempt),
            _MODULES: " ".join(self.modules),
        }


class Cluster:
    """The Jobs API at an address.

    Raises:
        InputError: by all methods, where it does not answer, refuses the token, or is none.
    """

    def __init__(self, address: str) -> None:
        require_jobs_address(address)
        self.address = address
        with self._plainly(), _heeding(address):
            from ray.job_submission import JobSubmissionClient

            for handler in logging.getLogger("ray").handlers:
                handler.setLevel(logging.ERROR)  # it tells of every upload
            self._client = JobSubmissionClient(address)

    def jobs(self, study: str | None = None) -> list[StudyJob]:
        """All jobs of studies that the cluster remembers, or of one; the latest comes last."""
        with self._plainly():
            details = self._client.list_jobs()
        found = [_study_job(job) for job in details if _STUDY in (job.metadata or {})]
        found = [job for job in found if study in (None, job.study)]
        return sorted(found, key=lambda job: (job.started, job.attempt))

    def submit(self, id_: str, entrypoint: str, shipped: Path | None, **about: Any) -> None:
        """Starts a command on the head.

        Args:
            shipped: folder that it is started in, copied from here.
            about: `metadata` of the job.

        Raises:
            InputError: also where somebody else has just started a job of that id.
        """
        environment: dict[str, Any] = {"env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(GRACE_SECONDS)}}
        if shipped is not None:
            environment["working_dir"] = str(shipped)
        with self._plainly():
            try:
                self._client.submit_job(
                    entrypoint=entrypoint, submission_id=id_, runtime_env=environment, **about
                )
            except RuntimeError as error:
                if f"{id_} already exists" not in str(error):
                    raise
                raise InputError(
                    f"{self.address} has a job {id_} already: somebody else has just started the "
                    "same study; see `list`, or choose another name (--set name=...)"
                ) from None

    def status(self, id_: str) -> str:
        with self._plainly():
            return _RAY_STATES[self._client.get_job_status(id_).value]

    def wait(self, id_: str, seconds: float) -> str:
        """The status once the job has ended, or after so many seconds."""
        deadline = time.monotonic() + seconds
        while (status := self.status(id_)) in ("pending", "running"):
            if time.monotonic() > deadline:
                break
            time.sleep(0.3)
        return status

    def stop(self, id_: str) -> None:
        """Asks a job to stop: SIGTERM, and SIGKILL after the grace."""
        with self._plainly():
            self._client.stop_job(id_)

    def forget(self, id_: str) -> None:
        with self._plainly():
            self._client.delete_job(id_)

    def log(self, id_: str) -> str:
        with self._plainly():
            return str(self._client.get_job_logs(id_))

    def follow(self, id_: str, write: Callable[[str], Any]) -> None:
        """Passes on a job's log as it grows, until the job ends; a lost connection is made anew.

        Raises:
            WorkFailed: the connection stays lost. The job does not mind.
        """
        import aiohttp

        written, lost_at = 0, 0.0

        async def tail() -> None:
            nonlocal written, lost_at
            skip = written  # a log is told from its beginning
            async for text in self._client.tail_job_logs(id_):
                lost_at = 0.0
                new, skip = text[skip:], max(0, skip - len(text))
                written += len(new)
                if new:
                    write(new)

        while True:
            try:
                asyncio.run(tail())
                if self.status(id_) not in ("pending", "running"):
                    return
            except (RuntimeError, OSError, aiohttp.ClientError, InputError):
                lost_at = lost_at or time.monotonic()
                if time.monotonic() > lost_at + _LOST_SECONDS:
                    raise WorkFailed(
                        f"the connection to {self.address} is lost; the study goes on without it"
                    ) from None
            time.sleep(1)

    @contextmanager
    def _plainly(self) -> Iterator[None]:
        import requests
        from ray.exceptions import AuthenticationError

        try:
            yield
        except AuthenticationError as error:
            reason = str(error).strip().splitlines()[0].split(". ")[0].rstrip(".")
            raise InputError(
                f"{self.address} lets nobody in without its token ({reason}); set "
                "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH to the file that holds it"
            ) from None
        except (ConnectionError, requests.ConnectionError, requests.Timeout):
            raise InputError(f"{self.address} does not answer any more") from None
        except (requests.RequestException, RuntimeError, ValueError, KeyError) as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)
            raise InputError(f"{self.address} is no Jobs API that answers: {reason}") from None


@contextmanager
def _heeding(address: str) -> Iterator[None]:
    """What the environment says, Ray would prefer to the address that it is given."""
    name = "RAY_API_SERVER_ADDRESS"
    before = os.environ.get(name)
    os.environ[name] = address
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _study_job(details: Any) -> StudyJob:
    about = details.metadata
    return StudyJob(
        about[_STUDY],
        about.get(_STORAGE, ""),
        int(about.get(_ATTEMPT, 1)),
        tuple(about.get(_MODULES, "").split()),
        _RAY_STATES[details.status.value],
        (details.start_time or 0) / 1000,
    )
