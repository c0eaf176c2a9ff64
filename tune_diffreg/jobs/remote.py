"""Studies on a cluster, from a machine that may go away: submit, ask, stop, resume."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tune_diffreg.errors import InputError, did_you_mean
from tune_diffreg.jobs.address import storage_options
from tune_diffreg.jobs.answers import Answer, ask, last_line
from tune_diffreg.jobs.client import GRACE_SECONDS, Cluster, StudyJob
from tune_diffreg.jobs.package import (
    STUDY_FILE,
    named_code,
    own_code,
    require_paths_of_cluster,
    shipped,
)
from tune_diffreg.secrets import plain_line
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
    where = storage_options(storage)
    require_paths_of_cluster(study)
    code = own_code(study, [file.resolve().parent, Path.cwd()])
    with shipped(study, code) as folder:
        _try_model(study, folder, code)
        cluster = Cluster(address)
        attempt = _next_attempt(cluster.jobs(study.name), address)
        found = ask(cluster, ["admit", STUDY_FILE, *where], folder).require().out.strip()
        job = StudyJob(study.name, found, attempt, tuple(path.name for path in code))
        return _start(cluster, job, f'run "$OLDPWD"/{STUDY_FILE}', folder)


def resume_there(name: str, address: str, storage: str | None) -> dict[str, Any]:
    """Goes on with a study on the cluster's head, which need not know it from before.

    Raises:
        InputError: it runs, has ended, or is not there.
    """
    cluster = Cluster(address)
    jobs = cluster.jobs(name)
    attempt, modules = _next_attempt(jobs, address), jobs[-1].modules if jobs else ()
    with shipped(None, named_code(modules, Path.cwd())) as folder:
        asked = ["admit", "--name", name, *where_it_is(jobs, storage)]
        job = StudyJob(name, ask(cluster, asked).require().out.strip(), attempt, modules)
        return _start(cluster, job, f"resume {shlex.quote(name)}", folder if modules else None)


def stop_there(name: str, address: str) -> dict[str, Any]:
    """Stops a study cleanly and waits for it: its trials keep their checkpoints.

    Raises:
        InputError: it does not run there.
    """
    cluster = Cluster(address)
    job = latest_job(cluster, name)
    if not job.active:
        raise InputError(f"study {name!r} does not run on {address}; its job has {job.status}")
    cluster.stop(job.id)
    status = cluster.wait(job.id, GRACE_SECONDS + _AFTER_THE_KILL)
    return {"study": name, "address": address, "job": job.told() | {"status": status}}


def state_there(name: str, address: str, storage: str | None) -> dict[str, Any]:
    """What `status --json` prints there, and the study's latest `job` or None."""
    cluster = Cluster(address)
    job, answer = _ask_about(cluster, name, ["--json"], storage)
    if job is not None and _knows_nothing(answer):
        return _not_begun(cluster, job)
    state: dict[str, Any] = json.loads(answer.require().out)
    return state | {"job": job and job.told()}


def answer_of(name: str, address: str, storage: str | None) -> str:
    """What `status` prints there, after a line on the study's job."""
    cluster = Cluster(address)
    job, answer = _ask_about(cluster, name, [], storage)
    if job is not None and _knows_nothing(answer):
        state = _not_begun(cluster, job)
        return f"{name}: {state['state']}: {state['reason']}\n"
    head = f"job {job.id}: {job.status}\n" if job else ""
    return head + answer.require().out


def studies_there(address: str, storage: str | None) -> list[dict[str, Any]]:
    """What `list --json` prints there for the storage, or for the cluster's own and all that jobs
    were given, and the `job` of each study or None.

    A study that has not begun yet has a job and little else, and so has one in a storage that the
    cluster cannot read any more.
    """
    cluster = Cluster(address)
    latest = {job.study: job for job in cluster.jobs()}
    answer = ask(cluster, ["list", "--json", *storage_options(storage)]).require()
    answers = {storage or answer.storage or "": answer}
    others = set() if storage else {job.storage for job in latest.values()} - answers.keys()
    for other in sorted(others):
        answers[other] = ask(cluster, ["list", "--json", "--storage", other])
    rows = []
    for where, answer in answers.items():
        for row in json.loads(answer.out) if answer.status == 0 else []:
            job = latest.get(row["study"])
            rows.append(row | {"job": job.told() if job and job.storage == where else None})
    told = {row["job"]["id"] for row in rows if row["job"]}
    silent = [j for j in latest.values() if j.storage in answers and j.id not in told]
    return rows + [_without_folder(cluster, job, answers[job.storage]) for job in silent]


def _without_folder(cluster: Cluster, job: StudyJob, answer: Answer) -> dict[str, Any]:
    """A study that has not begun, or whose storage cannot be read: that hides no other storage."""
    if answer.status == 0:
        return _not_begun(cluster, job)
    return {
        "study": job.study,
        "state": "unknown",
        "reason": answer.sentence,
        "job": job.told(),
    }


def _try_model(study: Study, folder: Path, code: Sequence[Path]) -> None:
    """A model of the user's own that is shipped is tried as it will be imported there."""
    factory = study.model.factory
    shipped_names = {path.stem for path in code}
    if factory is None or factory.split(":")[0].split(".")[0] not in shipped_names:
        return
    from tune_diffreg.diffusion import check_models

    sys.path.insert(0, str(folder))
    try:
        check_models(study.networks())
    finally:
        sys.path.remove(str(folder))


def _next_attempt(jobs: Sequence[StudyJob], address: str) -> int:
    running = next((job for job in jobs if job.active), None)
    if running is not None:
        raise InputError(
            f"study {running.study!r} runs on {address} already (job {running.id}); see "
            f"`status {running.study}`, or choose another name (--set name=...)"
        )
    return 1 + max((job.attempt for job in jobs), default=0)


def _start(cluster: Cluster, job: StudyJob, command: str, folder: Path | None) -> dict[str, Any]:
    """Runs a command of the cluster's shell as the study's driver.

    Not in the folder that was shipped, which Ray may make anew under a process that works there;
    modules are found by its path.
    """
    options = shlex.join(["--storage", job.storage, "--address", "auto"])
    driver = f"cd / && exec python -m tune_diffreg {command} {options}"
    cluster.submit(job.id, driver, folder, metadata=job.metadata())
    return {"study": job.study, "address": cluster.address, "job": job.told()}


def latest_job(cluster: Cluster, name: str) -> StudyJob:
    """Raises InputError where none was submitted."""
    jobs = cluster.jobs()
    latest = next((job for job in reversed(jobs) if job.study == name), None)
    if latest is None:
        known = sorted({job.study for job in jobs})
        hint = did_you_mean(name, known) or (f"; there are {', '.join(known)}" if known else "")
        raise InputError(f"no study {name!r} has been submitted to {cluster.address}{hint}")
    return latest


def where_it_is(jobs: Sequence[StudyJob], storage: str | None) -> list[str]:
    """Where to look for a study: what is said, or what its job was given, or the cluster's own."""
    return storage_options(storage or (jobs[-1].storage if jobs else None))


def _ask_about(
    cluster: Cluster, name: str, options: Sequence[str], storage: str | None
) -> tuple[StudyJob | None, Answer]:
    jobs = cluster.jobs(name)
    job = jobs[-1] if jobs and storage in (None, jobs[-1].storage) else None
    return job, ask(cluster, ["status", name, *options, *where_it_is(jobs, storage)])


def _knows_nothing(answer: Answer) -> bool:
    return answer.status == 2 and answer.sentence.startswith("no study")


def _not_begun(cluster: Cluster, job: StudyJob) -> dict[str, Any]:
    """A study that has a job and no folder: its driver reads the data, or could not."""
    state = "starting" if job.active else "failed"
    reason = plain_line(last_line(cluster.log(job.id)))
    return {"study": job.study, "state": state, "reason": reason, "job": job.told()}
