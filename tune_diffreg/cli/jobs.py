"""Commands that drive studies as a service: on this machine, or on a cluster from a laptop."""

from __future__ import annotations

import json
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from tune_diffreg.cli.options import (
    RUNS,
    File,
    JobsAddress,
    Json,
    Name,
    Set,
    Storage,
    StorageAddress,
    app,
    console,
    leave,
    show,
    storage_here,
)
from tune_diffreg.secrets import plain_line
from tune_diffreg.words import program


@app.command()
def submit(
    study: File,
    address: Annotated[
        str,
        typer.Option(metavar="URL", help="Jobs API of the cluster, such as http://127.0.0.1:8265."),
    ],
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="PATH|URI",
            help="What holds the results, as all its machines see it; left out: the cluster's own.",
        ),
    ] = None,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Start a study on a cluster, which runs it without us."""
    from tune_diffreg.jobs import submit as submit_study

    _started(submit_study(study, set_ or (), address, storage), as_json)


@app.command()
def resume(
    name: Name,
    storage: StorageAddress = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT|auto|URL",
            help="Ray cluster that trials run on; or its Jobs API, http://127.0.0.1:8265, and "
            "the study goes on without this machine. Left out: on this machine.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Go on with an interrupted study."""
    from tune_diffreg.jobs import is_jobs_address, resume_there

    if address is not None and is_jobs_address(address):
        _started(resume_there(name, address, storage), as_json)
        return
    from tune_diffreg.results import open_study, read_state
    from tune_diffreg.service import run_study

    here = storage_here(storage)
    folder = open_study(here, name)
    status = run_study(folder.read_study(), here, console(stderr=as_json), address)
    if as_json:
        typer.echo(json.dumps(read_state(folder), indent=2))
    leave(status)


@app.command()
def stop(
    name: Name, storage: StorageAddress = None, address: JobsAddress = None, as_json: Json = False
) -> None:
    """Stop a study so that resume goes on with it."""
    from tune_diffreg.jobs import stop_here, stop_there
    from tune_diffreg.results import open_study

    if address is not None:
        stopped = stop_there(name, address)
        ended = stopped["job"]["status"]
    else:
        stopped = stop_here(open_study(storage_here(storage), name))
        ended = "stopped" if stopped["state"] == "interrupted" else stopped["state"]
    if as_json:
        typer.echo(json.dumps(stopped, indent=2))
        return
    typer.echo(f"{name}: {ended}" + (". Nothing is lost." if ended == "stopped" else ""))
    if ended == "stopped":
        typer.echo(f"Go on with:  {_typed('resume', name, storage, address)}")


@app.command()
def logs(
    name: Name,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on until nothing runs it any more.")
    ] = False,
    storage: StorageAddress = None,
    address: JobsAddress = None,
    as_json: Json = False,
) -> None:
    """Show what a study has said so far."""
    from tune_diffreg import jobs
    from tune_diffreg.results import open_study

    write = partial(print, end="", flush=True)
    if address is None:
        for line in jobs.log_lines(open_study(storage_here(storage), name), follow):
            print(line if as_json else jobs.as_text(line), flush=True)
    elif follow and as_json:
        jobs.follow_log_as_data(name, address, storage, write)
    elif follow:
        jobs.follow_log(name, address, write)
    elif as_json:
        write(jobs.log_as_data(name, address, storage))
    else:
        write(jobs.read_log(name, address))


@app.command(hidden=True)
def admit(
    study: Annotated[Path | None, typer.Argument(metavar="STUDY")] = None,
    name: Annotated[str, typer.Option()] = "",
    storage: Storage = RUNS,
) -> None:
    """Check that a study may begin or go on here; `submit` and `resume` ask it on the cluster."""
    from tune_diffreg.jobs import admit as admit_study
    from tune_diffreg.jobs import readmit
    from tune_diffreg.study import read_study

    typer.echo(admit_study(read_study(study), storage) if study else readmit(name, storage))


def list_there(address: str, storage: str | None, as_json: bool) -> None:
    """`list` of a cluster."""
    from tune_diffreg.jobs import studies_there

    rows = studies_there(address, storage)
    if rows or as_json:
        show_studies(rows, as_json)
    else:
        typer.echo(f"no studies on {address}; start one with: {program()} submit STUDY")


def show_studies(rows: list[dict[str, Any]], as_json: bool) -> None:
    """A table of the studies, and a sentence on each of which there is no more to say."""
    from tune_diffreg.terminal import studies_table

    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    known = [row for row in rows if "trials" in row]
    if known:
        show(known, studies_table, as_json)
    for row in rows:
        if "trials" not in row:
            typer.echo(plain_line(f"{row['study']}: {row['state']}: {row['reason']}"))


def status_there(name: str, address: str, storage: str | None, as_json: bool) -> None:
    """`status` of a study on a cluster."""
    from tune_diffreg.jobs import answer_of, state_there

    if as_json:
        typer.echo(json.dumps(state_there(name, address, storage), indent=2))
    else:
        sys.stdout.write(answer_of(name, address, storage))


def _started(started: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(started, indent=2))
        return
    name, address = started["study"], started["address"]
    typer.echo(f"{name} runs on {address} as job {started['job']['id']}, without this machine.")
    for verb in ("status", "logs", "stop"):
        options = " --follow" if verb == "logs" else ""
        typer.echo(f"  {_typed(verb, name, None, address)}{options}")


def _typed(verb: str, name: str, storage: str | None, address: str | None) -> str:
    """A command as one types it."""
    where = f" --address {address}" if address else ""
    where += f" --storage {shlex.quote(storage)}" if storage else ""
    return f"{program()} {verb} {name}{where}"
