"""Studies on a cluster, from a machine that may go away: submit, ask, stop, resume."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from tune_diffreg.errors import InputError, did_you_mean
from tune_diffreg.jobs.address import require_shared_storage
from tune_diffreg.jobs.answers import Answer, ask, last_line
from tune_diffreg.jobs.client import GRACE_SECONDS, Cluster, StudyJob
from tune_diffreg.jobs.package import (
    STUDY_FILE,
    named_code,
    own_code,
    require_paths_of_cluster,
    shipped,
)
from tune_diffreg.study import Study, read_study

_AFTER_THE_KILL = 15.0


def submit(
    file: Path, overrides: Iterable[str], address: str, storage: str | None
) -> dict[str, Any]:
    """Checks a study here, then its name there, and starts it on the cluster's head.

    Returns:
        `study`, `address` and `job`.

    Raises:
        InputError: before anything is started.
    """
    study = read_study(file, overrides)
    where = require_shared_storage(storage)
    require_paths_of_cluster(study)
    code = own_code(study, [file.resolve().parent, Path.cwd()])
    with shipped(study, code) as folder:
        _try_model(study, folder, code)
        cluster = Cluster(address)
        job = _next_job(cluster, study.name, where, [path.name for path in code])
        ask(cluster, ["admit", STUDY_FILE, "--storage", where], folder).require()
        return _start(cluster, job, f'run "$OLDPWD"/{STUDY_FILE}', folder)


def resume_there(name: str, address: str, storage: str | None) -> dict[str, Any]:
    """Goes on with a study on the cluster's head, which need not know it from before.

    Raises:
        InputError: it runs, has ended, or is not known.
    """
    cluster = Cluster(address)
    jobs = cluster.jobs(name)
    where = _storage_of(jobs, name, storage, cluster)
    job = _next_job(cluster, name, where, jobs[-1].modules if jobs else ())
    state = _state(ask(cluster, ["status", name, "--json", "--storage", where]))
    if state["state"] != "interrupted":
        raise InputError(f"study {name!r} is {state['state']}; there is nothing to go on with")
    with shipped(None, named_code(job.modules, Path.cwd())) as folder:
        return _start(cluster, job, f"resume {shlex.quote(name)}", folder if job.modules else None)


def stop_there(name: str, address: str) -> dict[str, Any]:
    """Stops a study cleanly and waits for it: its trials keep their checkpoints.

    Raises:
        InputError: it does not run there.
    """
    cluster = Cluster(address)
    job = _latest(cluster, name)
    if not job.active:
        raise InputError(f"study {name!r} does not run on {address}; its job {job.status}")
    cluster.stop(job.id)
    status = cluster.wait(job.id, GRACE_SECONDS + _AFTER_THE_KILL)
    return {"study": name, "address": address, "job": job.told() | {"status": status}}


def read_log(name: str, address: str) -> str:
    """What the latest job of a study has printed."""
    cluster = Cluster(address)
    return cluster.log(_latest(cluster, name).id)


def follow_log(name: str, address: str, write: Callable[[str], Any]) -> None:
    """The same as it is printed, until the job ends."""
    cluster = Cluster(address)
    cluster.follow(_latest(cluster, name).id, write)


def state_there(name: str, address: str, storage: str | None) -> dict[str, Any]:
    """What `status --json` prints there, and the study's latest `job` or None."""
    answer, job, cluster = _ask_about(name, ["--json"], address, storage)
    if answer.status == 0 or job is None or "no study" not in answer.sentence:
        return _state(answer) | {"job": job and job.told()}
    return _not_begun(cluster, job)


def answer_of(name: str, address: str, storage: str | None) -> str:
    """What `status` prints there, after a line on the study's job."""
    answer, job, cluster = _ask_about(name, [], address, storage)
    if answer.status == 0 or job is None or "no study" not in answer.sentence:
        head = f"job {job.id}: {job.status}\n" if job else ""
        return head + answer.require().out
    state = _not_begun(cluster, job)
    return f"job {job.id}: {job.status}; the study {state['state']}: {state['reason']}\n"


def studies_there(address: str, storage: str | None) -> list[dict[str, Any]]:
    """What `list --json` prints there for the storage, or for all that jobs were given, and the
    `job` of each study or None. A study that has not begun yet has a job and little else."""
    cluster = Cluster(address)
    latest = {job.study: job for job in cluster.jobs()}
    storages = [storage] if storage else sorted({job.storage for job in latest.values()})
    rows = []
    for where in storages:
        answer = ask(cluster, ["list", "--json", "--storage", where]).require()
        for row in json.loads(answer.out):
            job = latest.get(row["study"])
            rows.append(row | {"job": job.told() if job and job.storage == where else None})
    begun = {row["job"]["id"] for row in rows if row["job"]}
    waiting = [j for j in latest.values() if j.storage in storages and j.id not in begun]
    return rows + [_not_begun(cluster, job) for job in waiting]


def _try_model(study: Study, folder: Path, code: Sequence[Path]) -> None:
    """A model of the user's own that is shipped is tried as it will be imported there."""
    factory = study.model.factory
    shipped_names = {path.stem for path in code}
    if factory is None or factory.split(":")[0].split(".")[0] not in shipped_names:
        return
    from tune_diffreg.diffusion import check_model

    sys.path.insert(0, str(folder))
    try:
        for config in study.networks():
            check_model(config)
    finally:
        sys.path.remove(str(folder))


def _next_job(cluster: Cluster, name: str, storage: str, modules: Sequence[str]) -> StudyJob:
    jobs = cluster.jobs(name)
    running = next((job for job in jobs if job.active), None)
    if running is not None:
        raise InputError(
            f"study {name!r} runs on {cluster.address} already (job {running.id}); see "
            f"`status {name}`, or choose another name (--set name=...)"
        )
    attempt = 1 + max((job.attempt for job in jobs), default=0)
    return StudyJob(name, storage, attempt, tuple(modules))


def _start(cluster: Cluster, job: StudyJob, command: str, folder: Path | None) -> dict[str, Any]:
    """Runs a command of the cluster's shell as the study's driver.

    Not in the folder that was shipped, which Ray may make anew under a process that works there;
    modules are found by its path.
    """
    options = shlex.join(["--storage", job.storage, "--address", "auto"])
    driver = f"cd / && exec python -m tune_diffreg {command} {options}"
    cluster.submit(job.id, driver, folder, metadata=job.metadata())
    return {"study": job.study, "address": cluster.address, "job": job.told()}


def _latest(cluster: Cluster, name: str) -> StudyJob:
    jobs = cluster.jobs(name)
    if not jobs:
        raise _unknown(cluster, name)
    return jobs[-1]


def _storage_of(jobs: Sequence[StudyJob], name: str, storage: str | None, cluster: Cluster) -> str:
    if storage is not None:
        return require_shared_storage(storage)
    if not jobs:
        raise _unknown(cluster, name)
    return jobs[-1].storage


def _unknown(cluster: Cluster, name: str) -> InputError:
    known = sorted({job.study for job in cluster.jobs()})
    hint = did_you_mean(name, known) or (f"; there are {', '.join(known)}" if known else "")
    return InputError(
        f"no study {name!r} has been submitted to {cluster.address}{hint}; with --storage, one "
        "of an earlier cluster is found"
    )


def _ask_about(
    name: str, options: Sequence[str], address: str, storage: str | None
) -> tuple[Answer, StudyJob | None, Cluster]:
    cluster = Cluster(address)
    jobs = cluster.jobs(name)
    where = _storage_of(jobs, name, storage, cluster)
    job = jobs[-1] if jobs and jobs[-1].storage == where else None
    return ask(cluster, ["status", name, *options, "--storage", where]), job, cluster


def _state(answer: Answer) -> dict[str, Any]:
    state: dict[str, Any] = json.loads(answer.require().out)
    return state


def _not_begun(cluster: Cluster, job: StudyJob) -> dict[str, Any]:
    """A study that has a job and no folder: its driver reads the data, or could not."""
    state = "starting" if job.active else "failed"
    reason = last_line(cluster.log(job.id))
    return {"study": job.study, "state": state, "reason": reason, "job": job.told()}
