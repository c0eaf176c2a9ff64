"""The commands. Each reads what was typed, calls one function, prints what it returns."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress

from tune_diffreg.errors import InputError, WorkFailed
from tune_diffreg.words import program

# Nothing that we start reports usage, unless the user wants it to.
for _switch, _off in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}.items():
    os.environ.setdefault(_switch, _off)

app = typer.Typer(
    name="tune-diffreg",
    help="Finds the regularisation with which a diffusion model generalises from few images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

File = Annotated[Path, typer.Argument(metavar="STUDY", help="Study file (YAML).")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the study.")]
Storage = Annotated[Path, typer.Option(help="Folder that holds the studies' results.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; may be repeated."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Address = Annotated[str | None, typer.Option(help="Ray cluster; this machine if left out.")]
Output = Annotated[Path, typer.Option(help="New folder to write.")]

_RUNS = Path("runs")


class Split(StrEnum):
    """Images of a study that were not trained on."""

    validation = "validation"
    test = "test"


@app.command()
def run(study: File, set_: Set = None, storage: Storage = _RUNS, address: Address = None) -> None:
    """Run a study, or go on with it."""
    from tune_diffreg.service import run_study
    from tune_diffreg.study import read_study

    _exit(run_study(read_study(study, set_ or ()), storage, _console(), address))


@app.command()
def resume(name: Name, storage: Storage = _RUNS, address: Address = None) -> None:
    """Go on with an interrupted study."""
    from tune_diffreg.results import open_study
    from tune_diffreg.service import run_study

    _exit(run_study(open_study(storage, name).read_study(), storage, _console(), address))


@app.command()
def check(study: File, set_: Set = None, address: Address = None, as_json: Json = False) -> None:
    """Check a study file and its data, time one trial, and print the plan; starts no study."""
    from tune_diffreg.service import plan, prepare_with_progress
    from tune_diffreg.study import read_study
    from tune_diffreg.terminal import plan_table

    settings = read_study(study, set_ or ())
    found = plan(settings, prepare_with_progress(settings, _console(stderr=as_json)), address)
    _print(found, plan_table, as_json)


@app.command("list")
def list_(storage: Storage = _RUNS, as_json: Json = False) -> None:
    """List the studies."""
    from tune_diffreg.results import list_studies, read_state
    from tune_diffreg.terminal import studies_table

    rows = [read_state(folder) for folder in list_studies(storage)]
    if not rows and not as_json:
        _console().print(f"no studies in {storage}; start one with: tune-diffreg run STUDY")
        return
    _print(rows, studies_table, as_json)


@app.command()
def status(name: Name, storage: Storage = _RUNS, as_json: Json = False) -> None:
    """Show where a study and each of its trials stand."""
    from tune_diffreg.results import open_study, read_journal, read_state, replay
    from tune_diffreg.terminal import studies_table, trials_table

    folder = open_study(storage, name)
    state = read_state(folder)
    if as_json:
        _print(state, studies_table, as_json)
        return
    console = _console()
    console.print(studies_table([state]))
    console.print(trials_table(folder.read_study(), replay(read_journal(folder.journal))))


@app.command()
def best(name: Name, storage: Storage = _RUNS, as_json: Json = False) -> None:
    """Show the best configuration beside the baselines."""
    from tune_diffreg.results import leading_trial, open_study, read_journal, read_state, replay
    from tune_diffreg.terminal import main_scores, result_table

    folder = open_study(storage, name)
    found, study = read_state(folder)["best"], folder.read_study()
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
    _print(found, lambda _: result_table(study, records), as_json)


@app.command()
def report(name: Name, storage: Storage = _RUNS) -> None:
    """Write the report again from the study's folder."""
    from tune_diffreg.report import write_report
    from tune_diffreg.results import open_study

    folder = open_study(storage, name)
    write_report(folder)
    typer.echo(folder.report)


@app.command()
def export(
    name: Name,
    output: Output,
    storage: Storage = _RUNS,
    trial: Annotated[str | None, typer.Option(help="Another trial than the chosen one.")] = None,
    arguments: Annotated[
        bool, typer.Option("--arguments", help="Print those of diffusers' train_unconditional too.")
    ] = False,
) -> None:
    """Export the chosen configuration and its trained model."""
    from tune_diffreg.production import diffusers_arguments
    from tune_diffreg.production import export as export_study
    from tune_diffreg.results import open_study

    exported = export_study(open_study(storage, name), output, trial)
    typer.echo(f"{exported.trial_id} of study {name}: {output}/best.yaml, {output}/pipeline")
    if not exported.result.feasible:
        typer.echo("It breaks a constraint: no trial of full length met them all.")
    typer.echo(f"Train it again:  {program()} train {output}/best.yaml")
    if arguments:
        given, lost = diffusers_arguments(exported.config)
        typer.echo(f"train_unconditional.py {' '.join(given)}")
        for line in lost:
            typer.echo(f"  it cannot express: {line}")


@app.command()
def train(
    best_file: Annotated[Path, typer.Argument(metavar="BEST.YAML", help="An exported best.yaml.")],
    output: Annotated[
        Path | None, typer.Option(help="New folder to write; 'trained' beside the file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train an exported configuration at full length and score it."""
    from tune_diffreg.production import train as train_best
    from tune_diffreg.results import read_best
    from tune_diffreg.terminal import repeat_table

    found = read_best(best_file)
    target = output or best_file.parent / "trained"
    console = _console(stderr=True)
    with _progress(console, "training") as news:
        trained = train_best(found, target, news)
    if not trained.same_data:
        console.print("note: the images are not those of the search; scores do not compare")
    _print(trained.scores, lambda now: repeat_table(found.result.scores, now), as_json)
    if not as_json:
        typer.echo(f"Written: {target}")


@app.command()
def narrow(
    best_file: Annotated[Path, typer.Argument(metavar="BEST.YAML", help="An exported best.yaml.")],
    output: Annotated[Path, typer.Option(help="Study file to write.")],
    train_: Annotated[
        int | None, typer.Option("--train", min=2, help="Another number of training images.")
    ] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Another length, in images seen.")
    ] = None,
) -> None:
    """Write a follow-up study around an exported configuration."""
    from tune_diffreg.files import write_atomically
    from tune_diffreg.production import narrow as narrowed
    from tune_diffreg.results import read_best
    from tune_diffreg.results.formats import to_yaml

    if output.exists():
        raise InputError(f"{output} exists already; choose another --output")
    study = narrowed(read_best(best_file), best_file.resolve(), train_, images)
    write_atomically(output, to_yaml(study.model_dump(mode="json", exclude_none=True)))
    typer.echo(f"Run it:  {program()} run {output}")


@app.command()
def evaluate(
    images: Annotated[
        str,
        typer.Argument(metavar="IMAGES", help="A folder, an .npz file, a pipeline or an export."),
    ],
    against: Annotated[
        str | None,
        typer.Option(help="Real images: a folder, .npz, digits, or a study file; an export's own."),
    ] = None,
    train: Annotated[
        str | None, typer.Option(help="Training images likewise, to look for copies of.")
    ] = None,
    split: Annotated[
        Split, typer.Option(help="Of a study: which of its images are held against.")
    ] = Split.validation,
    features: Annotated[
        str | None, typer.Option(help="Extractor; inception, or the study's, if left out.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="File of the extractor's weights.")] = None,
    size: Annotated[
        int | None, typer.Option(min=4, help="Side that a folder's real images are resized to.")
    ] = None,
    samples: Annotated[int | None, typer.Option(min=6, help="How many images; all.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Of a pipeline's sampler.")] = None,
    as_json: Json = False,
) -> None:
    """Score images against real ones."""
    from tune_diffreg.judging import Request, judge
    from tune_diffreg.terminal import judgement_table

    asked = {"features": features, "weights": weights, "steps": steps}
    settings = tuple((key, value) for key, value in asked.items() if value is not None)
    request = Request(images, against, train, split.value, size, samples, settings)
    with _progress(_console(stderr=True), "reading images") as news:
        found = judge(request, news)
    _print(found, judgement_table, as_json)


@app.command()
def ui(
    storage: Storage = _RUNS,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port on this machine.")] = 5000,
) -> None:
    """Open the MLflow UI on the studies, on this machine only."""
    from tune_diffreg.tracking import local_uri, serve

    if not (storage / "mlflow.db").exists():
        raise InputError(f"nothing has been tracked in {storage} yet; run a study first")
    page = f"http://127.0.0.1:{port}/#/experiments?workflowType=machine_learning"
    typer.echo(f"MLflow: {page} (Ctrl-C ends it)")
    serve(local_uri(storage), port)


def main() -> None:
    """Entry point: bad input is one sentence and exit status 2, an interrupt 130."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # where a model of the user's own may lie
    try:
        app()
    except InputError as error:
        print(f"tune-diffreg: {error}", file=sys.stderr)
        sys.exit(2)
    except WorkFailed as error:
        print(f"tune-diffreg: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        print(f"tune-diffreg: {error}", file=sys.stderr)
        sys.exit(1)


@contextmanager
def _progress(console: Console, what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar that is there while something is done, and called with (done, in all)."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _console(stderr: bool = False) -> Console:
    """Prints texts as they are: a bracket in a path or an error is not markup."""
    return Console(stderr=stderr, markup=False, highlight=False)


def _print(content: Any, table: Callable[[Any], Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        _console().print(table(content))


def _exit(code: int) -> NoReturn:
    raise typer.Exit(code)
