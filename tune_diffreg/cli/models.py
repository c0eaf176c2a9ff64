"""Commands on what leaves a study: its configurations, its models, their images."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from tune_diffreg.cli.options import (
    RUNS,
    Address,
    Json,
    Name,
    Output,
    Set,
    Storage,
    Trust,
    app,
    console,
    show,
)
from tune_diffreg.errors import InputError
from tune_diffreg.words import program


class Format(StrEnum):
    """What a configuration can be printed as."""

    train_unconditional = "train_unconditional"


class Split(StrEnum):
    """Images of a study that were not trained on."""

    validation = "validation"
    test = "test"


@app.command()
def export(
    name: Name,
    output: Output,
    storage: Storage = RUNS,
    trial: Annotated[str | None, typer.Option(help="Another trial than the chosen one.")] = None,
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Print it too as arguments of diffusers' example script."),
    ] = None,
) -> None:
    """Export the chosen configuration and its trained model."""
    from tune_diffreg.production import diffusers_arguments, other_sampler
    from tune_diffreg.production import export as export_study
    from tune_diffreg.results import open_study, read_journal, unfinished

    folder = open_study(storage, name)
    preliminary = unfinished(folder.read_study(), read_journal(folder.journal))
    exported = export_study(folder, output, trial)
    typer.echo(f"{exported.trial_id} of study {name}: {output}/best.yaml, {output}/pipeline")
    if not exported.usable:
        typer.echo("It breaks a constraint: do not use it as it is.")
    known = (exported.unconfirmed, other_sampler(exported.config))
    for sentence in (*filter(None, known), *preliminary):
        typer.echo(sentence)
    trust_it = " --trust" if exported.config.factories else ""
    typer.echo(f"Train it again:  {program()} train {output}/best.yaml{trust_it}")
    if format_ is not None:
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
    set_: Set = None,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes, each with a GPU of its own, that share a batch.")
    ] = 1,
    scores: Annotated[
        int, typer.Option(min=1, help="How often it is scored, the end included.")
    ] = 1,
    storage: Storage = RUNS,
    address: Address = None,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Train an exported configuration, on its images or others, or go on with it."""
    from tune_diffreg.terminal import bars, repeat_table
    from tune_diffreg.training import Request, train_best

    target = output or best_file.parent / "trained"
    settings = tuple(set_ or ())
    request = Request(best_file, target, settings, workers, scores, storage, address, trust)
    screen = console(stderr=True)
    with bars(screen, "training") as (news,):
        trained = train_best(request, partial(screen.print, soft_wrap=True), news)
    if not trained.same_data:
        screen.print("note: the images are not those of the search; scores do not compare")
    for sentence in trained.tracked.sentences("the same command"):
        screen.print(sentence, style="yellow", soft_wrap=True)
    show(trained.scores, lambda now: repeat_table(trained.searched, now, trained.repeats), as_json)
    if not as_json:
        typer.echo(f"Written: {target}")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A study's name, or an export.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    storage: Storage = RUNS,
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Show what two studies or exports chose, side by side."""
    from tune_diffreg.results.compare import compare as compared
    from tune_diffreg.results.compare import find
    from tune_diffreg.terminal import comparison_table

    found = compared(*((name, find(name, storage, trust)) for name in (first, second)))
    show(found, comparison_table, as_json)
    if not as_json:
        for sentence in found["apart"]:
            typer.echo(sentence)


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
    trust: Trust = False,
) -> None:
    """Write a follow-up study around an exported configuration."""
    from tune_diffreg.files import write_atomically
    from tune_diffreg.production import as_file
    from tune_diffreg.production import narrow as narrowed
    from tune_diffreg.results import read_best

    if output.exists():
        raise InputError(f"{output} exists already; choose another --output")
    study = narrowed(read_best(best_file, trust), best_file.resolve(), train_, images)
    try:
        write_atomically(output, as_file(study))
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror})") from None
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
    trust: Trust = False,
    as_json: Json = False,
) -> None:
    """Score images against real ones."""
    from tune_diffreg.judging import Request, judge
    from tune_diffreg.terminal import bars, judgement_table

    asked = {"features": features, "weights": weights, "steps": steps}
    settings = tuple((key, value) for key, value in asked.items() if value is not None)
    request = Request(images, against, train, split.value, size, samples, settings, trust)
    with bars(console(stderr=True), "reading images", "features of real images") as news:
        found = judge(request, *news)
    show(found, judgement_table, as_json)
