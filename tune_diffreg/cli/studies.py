"""Commands on studies: run them, and see what they found."""

from __future__ import annotations

from typing import Annotated

import typer

from tune_diffreg.cli.options import (
    RUNS,
    Address,
    File,
    Json,
    Name,
    Set,
    Storage,
    app,
    console,
    leave,
    show,
)
from tune_diffreg.errors import InputError


@app.command()
def run(study: File, set_: Set = None, storage: Storage = RUNS, address: Address = None) -> None:
    """Run a study, or go on with it."""
    from tune_diffreg.service import run_study
    from tune_diffreg.study import read_study

    leave(run_study(read_study(study, set_ or ()), storage, console(), address))


@app.command()
def resume(name: Name, storage: Storage = RUNS, address: Address = None) -> None:
    """Go on with an interrupted study."""
    from tune_diffreg.results import open_study
    from tune_diffreg.service import run_study

    leave(run_study(open_study(storage, name).read_study(), storage, console(), address))


@app.command()
def check(study: File, set_: Set = None, address: Address = None, as_json: Json = False) -> None:
    """Check a study file and its data, time one trial, and print the plan; starts no study."""
    from tune_diffreg.service import plan, prepare_with_progress
    from tune_diffreg.study import read_study
    from tune_diffreg.terminal import plan_table

    settings = read_study(study, set_ or ())
    found = plan(settings, prepare_with_progress(settings, console(stderr=as_json)), address)
    show(found, plan_table, as_json)


@app.command("list")
def list_(storage: Storage = RUNS, as_json: Json = False) -> None:
    """List the studies."""
    from tune_diffreg.results import list_studies, read_state
    from tune_diffreg.terminal import studies_table

    rows = [read_state(folder) for folder in list_studies(storage)]
    if not rows and not as_json:
        console().print(f"no studies in {storage}; start one with: tune-diffreg run STUDY")
        return
    show(rows, studies_table, as_json)


@app.command()
def status(name: Name, storage: Storage = RUNS, as_json: Json = False) -> None:
    """Show where a study and each of its trials stand."""
    from tune_diffreg.results import open_study, read_journal, read_state, replay
    from tune_diffreg.terminal import studies_table, trials_table

    folder = open_study(storage, name)
    state = read_state(folder)
    if as_json:
        show(state, studies_table, as_json)
        return
    screen = console()
    screen.print(studies_table([state]))
    screen.print(trials_table(folder.read_study(), replay(read_journal(folder.journal))))


@app.command()
def best(name: Name, storage: Storage = RUNS, as_json: Json = False) -> None:
    """Show the best configuration beside the baselines."""
    from tune_diffreg.results import leading_trial, open_study, read_journal, read_state, replay
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
    show(found, lambda _: result_table(study, records, chosen), as_json)


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

    show(sync_study(open_study(storage, name)), synced, as_json)


@app.command()
def ui(
    storage: Storage = RUNS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Open the MLflow UI on the studies, on this machine only."""
    from tune_diffreg.tracking import local_uri, pages, serve

    if not (storage / "mlflow.db").exists():
        raise InputError(f"nothing has been tracked in {storage} yet; run a study first")
    typer.echo("MLflow, when it is up (Ctrl-C ends it):")
    for study, page in pages(local_uri(storage), port).items():
        typer.echo(f"  {study}: {page}")
    serve(local_uri(storage), port)
