"""One study from its file to its results: search, display, tracking and report put together."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from tune_diffreg.errors import InputError
from tune_diffreg.interrupts import sigterm_as_ctrl_c
from tune_diffreg.notes import data_notes
from tune_diffreg.observation import Observer, log_to
from tune_diffreg.patience import Patience, StorageLost
from tune_diffreg.report import write_report
from tune_diffreg.results import (
    StudyFolder,
    audit_sentences,
    read_journal,
    read_state,
    repetitions,
    replay,
    require_sound,
    verdict,
)
from tune_diffreg.search.cluster import (
    check_cluster,
    concurrent_trials,
    concurrent_trials_here,
    ray_cluster,
)
from tune_diffreg.search.controller import run_search
from tune_diffreg.search.coordinator import Listener
from tune_diffreg.search.cost import measure
from tune_diffreg.search.on_ray import Session
from tune_diffreg.search.preparation import Preparation, prepare
from tune_diffreg.search.warm_start import check_warm_start
from tune_diffreg.study import Study
from tune_diffreg.syncing import deliver_rest
from tune_diffreg.terminal import bars, confirmation_table, open_display, result_table
from tune_diffreg.tracking import Follower, Outcome, study_delivery
from tune_diffreg.words import duration, program, storage_option

EXIT_OK, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 130


def run_study(study: Study, storage: Path, console: Console, address: str | None = None) -> int:
    """Starts a study, or goes on with it where its folder shows that it was begun.

    Returns:
        The exit status.

    Raises:
        InputError: before anything is started.
    """
    folder = StudyFolder(storage, study.name)
    with sigterm_as_ctrl_c():
        try:
            return _run(study, folder, console, address)
        except KeyboardInterrupt:  # outside of the search, or a second one inside
            if folder.study.exists():
                _say_interrupted(folder, console)
            else:
                console.print("Interrupted before the study began.")
            return EXIT_INTERRUPTED


def _run(study: Study, folder: StudyFolder, console: Console, address: str | None) -> int:
    folder.refresh()
    folder.require_same(study)
    check_cluster(study, address)
    if not folder.journal.exists():  # a search that has begun knows it already
        check_warm_start(study)
    preparation = prepare_with_progress(study, console, folder.references)
    with folder.begun(study):
        log_to(folder.log, study.name)
        events = read_journal(folder.journal) if folder.journal.exists() else []
        records, runs = replay(events), repetitions(events)
        require_sound(folder.journal, study, records, runs)
        follower = Follower(study_delivery(study, folder))
        observer = Observer(study, folder, events, lambda: follower.waiting)
        display = open_display(study, records, console, runs)
        tell = _each(display, observer)
        patience = Patience(
            study.resources.storage_seconds,
            lambda sentence: tell({"event": "storage", "sentence": sentence}),
        )
        session = Session(study, folder, patience, address)
        summary: dict[str, Any] | None = None
        try:
            with observer, display:
                summary = run_search(session, preparation, tell)
                observer.state = summary["state"]
            patience(lambda: write_report(folder))
        except (KeyboardInterrupt, StorageLost):
            summary = _state_of_interrupted(folder)
        finally:
            outcome = _delivered(follower, folder, summary)
    later = f"{program()} sync {study.name}{storage_option(folder.storage)}"
    for sentence in outcome.sentences(later):
        console.print(sentence, style="yellow", soft_wrap=True)
    if patience.lost is not None:
        console.print(str(patience.lost), style="yellow", soft_wrap=True)
    if summary is None:
        _say_interrupted(folder, console)
        return EXIT_INTERRUPTED
    return _conclude(study, folder, summary, console)


def _state_of_interrupted(folder: StudyFolder) -> dict[str, Any] | None:
    """Where a study stands that was broken off; None where its storage cannot even be read."""
    try:
        return read_state(folder, running=False) | {"state": "interrupted"}
    except (InputError, OSError):
        return None


def _delivered(follower: Follower, folder: StudyFolder, summary: dict[str, Any] | None) -> Outcome:
    """What MLflow has taken at the end; an interrupt ends the waiting and not the study."""
    try:
        return deliver_rest(follower, folder, summary)
    except KeyboardInterrupt:
        return follower.leave()


def _say_interrupted(folder: StudyFolder, console: Console) -> None:
    going_on = f"{program()} resume {folder.name}{storage_option(folder.storage)}"
    console.print(f"Interrupted. Nothing is lost. Go on with:  {going_on}", soft_wrap=True)


def prepare_with_progress(
    study: Study, console: Console, references: Path | None = None
) -> Preparation:
    """Loads the data behind a progress bar and says what was found in it."""
    with bars(console, "reading images", "features of real images") as (reading, measuring):
        preparation = prepare(study, reading, references, measuring)
    for sentence in data_notes(study, preparation):
        console.print(f"note: {sentence}", style="yellow", soft_wrap=True)
    return preparation


def plan(study: Study, preparation: Preparation, address: str | None) -> dict[str, Any]:
    """What a run of the study on this machine, or on the cluster at `address`, would do.

    What a trial costs is measured on this machine alone.
    """
    check_cluster(study, address)
    check_warm_start(study)
    if address is None:
        concurrent = concurrent_trials_here(study)
    else:
        with ray_cluster(address):
            concurrent = concurrent_trials(study)
    reference, copies = preparation.materials.reference, preparation.materials.copies
    cost = None if address else measure(study, preparation.materials)
    return {
        "study": study.name,
        "trials": study.search.trials,
        "baselines": list(study.search.baselines),
        "searched": list(study.search.space),
        "rungs": list(study.rungs()),
        "concurrent_trials": concurrent,
        "images_at_most": study.search.trials * study.training.images,
        "budget": {"images": study.search.images, "hours": study.search.hours},
        "objective": study.objective.metric,
        "distance": study.distance,
        "constraints": {
            name: bound.model_dump(exclude_none=True)
            for name, bound in study.objective.constraints.items()
        },
        "floor": reference.floor(study.evaluation.samples)._asdict(),
        "heldout_memorized_fraction": copies.heldout_scores["heldout_memorized_fraction"],
        "near_copies": copies.near_copies,
        "near_copies_by_split": preparation.near_copies,
        "duplicates": preparation.duplicates,
        "cost": cost
        and {
            **asdict(cost),
            "scoring_share": cost.scoring_share,
            "trials_per_gpu": cost.trials_per_gpu,
        },
    }


def _conclude(study: Study, folder: StudyFolder, summary: dict[str, Any], console: Console) -> int:
    """Prints the result and what to type next."""
    say = partial(console.print, soft_wrap=True)  # no breaks inside commands
    trials = summary["trials"]
    ended = ", ".join(f"{trials[state]} {state}" for state in ("complete", "pruned", "failed"))
    clock = duration(summary["wall_s"])
    name, storage, command = study.name, storage_option(folder.storage), program()
    if summary["state"] == "interrupted":
        say(
            f"Interrupted after {clock}: {ended}, of {study.search.trials} trials. Nothing is lost."
        )
        say(f"Go on with:  {command} resume {name}{storage}")
        return EXIT_INTERRUPTED
    if summary["state"] == "failed":
        say(f"No trial reached full length: {ended}. The reasons: {command} status {name}{storage}")
        return EXIT_FAILED
    say(
        f"{name}: {trials['total']} trials in {clock}: {ended}; "
        f"{summary['images_seen']:,} images seen"
    )
    records = replay(read_journal(folder.journal))
    confirmation = summary["confirmation"]
    chosen = records[confirmation["chosen"]] if confirmation else None
    console.print(result_table(study, records, chosen, summary["floor"]))
    for sentence in audit_sentences(summary["audit"]) if summary["audit"] else []:
        say(sentence)
    if confirmation is not None:
        console.print(confirmation_table(study, confirmation))
        for sentence in verdict(study, confirmation):
            say(sentence)
    elif summary["unconfirmed"]:
        say(summary["unconfirmed"])
    if confirmation is None and not summary["best"]["feasible"]:
        say("No trial of full length met the constraints; the best one shown breaks them.")
    say("Next:")
    say(f"  {command} ui{storage}  (browse all trials in MLflow)")
    say(f"  {command} export {name} --output {name}-best{storage}")
    say(f"  {command} train {name}-best/best.yaml{' --trust' if study.factories else ''}")
    say(f"  report: {folder.report}")
    return EXIT_OK


def _each(*listeners: Listener) -> Listener:
    """One that passes events on to all."""

    def tell(event: dict[str, Any]) -> None:
        for listener in listeners:
            listener(event)

    return tell
