"""Runs a study's search on Ray Tune, from start or from where it stopped."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from tune_diffreg.errors import InputError
from tune_diffreg.files import check_writable
from tune_diffreg.results import (
    StudyFolder,
    final_state,
    read_journal,
    repetitions,
    replay,
    summarize,
    write_results,
)
from tune_diffreg.results.journal import Event
from tune_diffreg.results.provenance import first_provenance
from tune_diffreg.results.summary import first_floor
from tune_diffreg.search.checkpoint import remove_checkpoints, remove_leftovers
from tune_diffreg.search.confirmation import Confirmation
from tune_diffreg.search.coordinator import Coordinator, Listener
from tune_diffreg.search.on_ray import Session, run_on_ray
from tune_diffreg.search.preparation import Preparation
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.search.sheets import save_sheet
from tune_diffreg.search.trial import Materials, materials_of
from tune_diffreg.study import Study


def run_search(session: Session, preparation: Preparation, listener: Listener) -> dict[str, Any]:
    """Runs until all trials have ended or the process is interrupted; writes the results.

    Returns:
        The content of `summary.json`.

    Raises:
        StorageLost: what could be written is, and the study can be gone on with.
    """
    study, folder, patience = session.study, session.folder, session.patience
    patience(folder.journal.touch)
    patience(lambda: save_sheet(preparation.splits.validation[:64], folder.real))
    events = read_journal(folder.journal)
    provenance = _same_origin(folder, events, preparation.provenance)
    floor = _floor(events, study, preparation.materials)
    _remove_leftovers(folder)
    listener = _tidying(folder, listener)
    coordinator = Coordinator(
        study,
        folder,
        listener,
        open_proposals=partial(Proposals, patiently=patience),
        patiently=patience,
    )
    coordinator.begin(provenance, floor)
    finished = False
    try:
        if not coordinator.finished:
            run_on_ray(session, preparation.materials, coordinator)
        if coordinator.finished:
            finished = _confirm(session, preparation, coordinator)
        if patience.lost is not None:
            raise patience.lost
    except BaseException:
        patience.end()  # what is left to write is tried once
        raise
    finally:
        coordinator.close(finished)
        records = coordinator.records
        state = final_state(records.values()) if finished else "interrupted"
        events = read_journal(folder.journal)
        summary = summarize(study, records, events, state)
        patience(lambda: write_results(folder, study, records, summary, provenance))
    return summary


def _confirm(session: Session, preparation: Preparation, coordinator: Coordinator) -> bool:
    """Repeats finalists and baselines on fresh seeds; whether nothing is left to repeat."""
    study, folder, patience = session.study, session.folder, session.patience
    confirmation = Confirmation(
        study, coordinator.journal, coordinator.records, coordinator.listener
    )
    if not confirmation.finished:
        patience(lambda: check_writable(folder.root))
        materials = materials_of(study, preparation.splits, folder.references, confirming=True)
        run_on_ray(session, materials, confirmation)
    return confirmation.finished


def _same_origin(
    folder: StudyFolder, events: Sequence[Event], now: dict[str, str]
) -> dict[str, str]:
    """What the study was started with, where it was started before.

    Raises:
        InputError: data or features have changed since, so that scores no longer compare.
    """
    if not events:
        return now
    first = first_provenance(events)
    for key in ("data_sha256", "features_sha256"):
        if first.get(key) != now[key]:
            raise InputError(
                f"{folder.root}: the {key.split('_')[0]} are not those that the study was "
                "started with, so its scores would not compare; run it under another name"
            )
    return first


def _floor(events: Sequence[Event], study: Study, materials: Materials) -> dict[str, Any]:
    """What real images score, as it was found when the study was first begun."""
    return first_floor(events) or materials.reference.floor(study.evaluation.samples)._asdict()


def _remove_leftovers(folder: StudyFolder) -> None:
    """Tidies up after a session that was killed."""
    events = read_journal(folder.journal)
    trials = replay(events).values()
    runs = repetitions(events).values()
    ended = {trial.id for trial in trials if trial.ended}
    ended |= {run.id for run in runs if run.state != "running"}
    with suppress(OSError):  # what stays costs space and nothing else
        remove_leftovers(folder.root, ended)


def _tidying(folder: StudyFolder, listener: Listener) -> Listener:
    """Removes the checkpoints of a trial that has ended, then passes the event on."""

    def tidy(event: dict[str, Any]) -> None:
        done = event["trial"] if event["event"] == "end" else None
        if event["event"] in ("repeated", "repeat_failed"):
            done = event["run"]
        if done is not None:
            with suppress(OSError):  # one that stays costs space and nothing else
                remove_checkpoints(folder.trial(done))
        listener(event)

    return tidy
