"""Commands on studies: run them, and see what they found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tune_diffreg.cli.jobs import list_there, show_studies, status_there
from tune_diffreg.cli.options import (
    RUNS,
    Address,
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
from tune_diffreg.errors import InputError


@app.command()
def run(study: File, set_: Set = None, storage: Storage = RUNS, address: Address = None) -> None:
    """Run a study, or go on with it."""
    from tune_diffreg.service import run_study
    from tune_diffreg.study import read_study

    leave(run_study(read_study(study, set_ or ()), storage, console(), address))


@app.command()
def check(
    study: File,
    set_: Set = None,
    storage: Storage = RUNS,
    address: Address = None,
    as_json: Json = False,
) -> None:
    """Check a study file and its data, time one trial, and print the plan; starts no study."""
    from tune_diffreg.notes import hang_note
    from tune_diffreg.results import StudyFolder
    from tune_diffreg.service import plan, prepare_with_progress
    from tune_diffreg.study import read_study
    from tune_diffreg.terminal import plan_table

    settings = read_study(study, set_ or ())
    # What a reference takes long to compute is there when the study is run.
    references = StudyFolder(storage, settings.name).references
    preparation = prepare_with_progress(settings, console(stderr=as_json), references)
    found = plan(settings, preparation, address)
    show(found, plan_table, as_json)
    note = found["cost"] and hang_note(settings, found["cost"]["scoring_seconds"])
    if note:
        console(stderr=True).print(note, style="yellow", soft_wrap=True)


@app.command("list")
def list_(
    storage: StorageAddress = None, address: JobsAddress = None, as_json: Json = False
) -> None:
    """List the studies, of this machine or of a cluster."""
    if address is not None:
        list_there(address, storage, as_json)
    else:
        _list_here(storage_here(storage), as_json)


def _list_here(storage: Path, as_json: bool) -> None:
    from tune_diffreg.results import list_states

    rows = list_states(storage)
    if not rows and not as_json:
        console().print(f"no studies in {storage}; start one with: tune-diffreg run STUDY")
        return
    show_studies(rows, as_json)


@app.command()
def status(
    name: Name, storage: StorageAddress = None, address: JobsAddress = None, as_json: Json = False
) -> None:
    """Show where a study and each of its trials stand."""
    if address is not None:
        status_there(name, address, storage, as_json)
    else:
        _status_here(name, storage_here(storage), as_json)


def _status_here(name: str, storage: Path, as_json: bool) -> None:
    from tune_diffreg.observation import read_status
    from tune_diffreg.results import open_study, read_journal, replay
    from tune_diffreg.terminal import status_table, studies_table, trials_table

    folder = open_study(storage, name)
    state = read_status(folder)
    if as_json:
        show(state, studies_table, as_json)
        return
    screen = console()
    screen.print(studies_table([state]))
    screen.print(trials_table(folder.read_study(), replay(read_journal(folder.journal))))
    screen.print(status_table(state, storage), soft_wrap=True)


@app.command()
def best(name: Name, storage: Storage = RUNS, as_json: Json = False) -> None:
    """Show the best configuration beside the baselines."""
    from tune_diffreg.results import (
        leading_trial,
        open_study,
        read_journal,
        read_state,
        replay,
        verdict,
    )
    from tune_diffreg.terminal import main_scores, result_table

    folder = open_study(storage, name)
    state, study = read_state(folder), folder.read_study()
    found, confirmation = state["best"], state["confirmation"]
    records = replay(read_journal(folder.journal))
    if found is None:
        leader = leading_trial(study, records.values())
        raise InputError(
            f"study {name!r} has no trial of full length yet"
            + (
                f"; {leader.label} leads at {leader.images:,} images: "
                f"{main_scores(study, leader.scores)}"
                if leader
                else ""
            )
        )
    chosen = records[confirmation["chosen"]] if confirmation else None
    show(found, lambda _: result_table(study, records, chosen, state["floor"]), as_json)
    if not as_json:
        told = verdict(study, confirmation) if confirmation else [state["unconfirmed"]]
        for sentence in filter(None, told):
            typer.echo(sentence)


@app.command()
def report(name: Name, storage: Storage = RUNS) -> None:
    """Write the report again from the study's folder."""
    from tune_diffreg.report import write_report
    from tune_diffreg.results import open_study

    folder = open_study(storage, name)
    write_report(folder)
    typer.echo(folder.report)


@app.command()
def sync(name: Name, storage: Storage = RUNS, as_json: Json = False) -> None:
    """Deliver to MLflow what it does not have of a study."""
    from tune_diffreg.results import open_study
    from tune_diffreg.syncing import sync_study, synced

    found = sync_study(open_study(storage, name))
    if as_json:
        show(found, synced, as_json)
    else:
        typer.echo(synced(found))


@app.command()
def ui(
    storage: Storage = RUNS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
    host: Annotated[
        str, typer.Option(help="Address to listen at; others let other machines in.")
    ] = "127.0.0.1",
) -> None:
    """Open the MLflow UI on the studies, on this machine only unless told otherwise."""
    from tune_diffreg.tracking import is_loopback, local_uri, pages, serve

    if not (storage / "mlflow.db").exists():
        raise InputError(f"nothing has been tracked in {storage} yet; run a study first")
    if not is_loopback(host):
        console(stderr=True).print(
            f"warning: MLflow asks for no password; whoever reaches {host}:{port} can read, change "
            f"and delete all studies in it. From elsewhere rather: ssh -L {port}:127.0.0.1:{port}",
            style="yellow",
            soft_wrap=True,
        )
    typer.echo("MLflow, when it is up (Ctrl-C ends it):")
    for study, page in pages(local_uri(storage), port, host).items():
        typer.echo(f"  {study}: {page}")
    serve(local_uri(storage), port, host)
