"""Repetitions without Ray: order, failures, and going on from the journal."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg.errors import InputError
from tune_diffreg.results import StudyFolder, TrialRecord, candidates, read_journal, repetitions
from tune_diffreg.search.budget import Budget
from tune_diffreg.search.confirmation import Confirmation
from tune_diffreg.search.halving import Decision

STUDY = tiny_study("confirmation={finalists: 2, seeds: 2}", "search.trials=6")
SCORES = {"fd_digits_cnn": 40.0, "memorized_fraction": 0.0}


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    """A study whose search is over."""
    subject = coordinator(tmp_path, STUDY)
    play(subject, STUDY)
    assert subject.finished
    subject.close(finished=False)
    return StudyFolder(tmp_path, STUDY.name)


def confirmation(folder: StudyFolder) -> Confirmation:
    search = coordinator(folder.storage, STUDY)
    return Confirmation(STUDY, search.journal, search.records, lambda _: None)


def test_every_candidate_is_repeated_on_each_seed_before_the_next(folder: StudyFolder) -> None:
    subject = confirmation(folder)
    wanted = candidates(STUDY, subject._records)
    assert len(wanted) == 4
    started = []
    while (assignment := subject.next_trial()) is not None:
        started.append(assignment)
        assert not subject.finished
    assert [a.trial_id for a in started] == [f"{t}-{n}" for n in (1, 2) for t in wanted]
    for assignment in started:
        assert subject.report(assignment.trial_id, 1280, 1.0, SCORES) is Decision.COMPLETE
    assert subject.finished
    # A report that comes twice, from an actor that was started again, counts once.
    assert subject.report(started[0].trial_id, 1280, 1.0, SCORES) is Decision.PRUNE
    events = read_journal(folder.journal)
    assert sum(event["event"] == "repeated" for event in events) == 8


def test_a_confirmation_that_was_cut_off_anywhere_goes_on_to_the_same_end(
    folder: StudyFolder,
) -> None:
    straight = []
    while (assignment := confirmation(folder).next_trial()) is not None:
        straight.append(assignment)  # each time by a process that dies before its report
        if len(straight) % 2:
            continue
        subject = confirmation(folder)
        again = subject.next_trial()
        assert again == assignment
        subject.report(again.trial_id, 1280, 1.0, SCORES)
    runs = repetitions(read_journal(folder.journal))
    assert len(runs) == 8
    assert all(run.state == "complete" for run in runs.values())
    assert confirmation(folder).finished


def test_what_fails_is_not_tried_for_ever(folder: StudyFolder) -> None:
    subject = confirmation(folder)
    first, second = subject.next_trial(), subject.next_trial()
    assert first is not None and second is not None
    broken = {**SCORES, "loss_gap": math.nan}
    assert subject.report(first.trial_id, 1280, 1.0, broken) is Decision.FAIL
    subject.fail(second.trial_id, "its process died")
    assert subject.runs[first.trial_id].reason == "loss_gap became nan at 1,280 images seen"
    assert subject.runs[second.trial_id].state == "failed"


def test_an_interrupt_starts_no_more(folder: StudyFolder) -> None:
    subject = confirmation(folder)
    subject.next_trial()
    subject.interrupt()
    assert subject.next_trial() is None
    assert not subject.finished


def test_the_search_leaves_over_what_confirmation_needs() -> None:
    needed = 4 * 2 * 1280
    study = tiny_study(
        "confirmation={finalists: 2, seeds: 2}", f"search.images={needed + 3000}", "search.hours=1"
    )
    assert study.confirmation_images == needed
    clock = [0.0]
    budget = Budget(study, 0, 0.0, lambda: clock[0])
    budget.spend(2000)
    assert not budget.spent()
    assert not budget.spent([TrialRecord("t0002", {})])  # 320 images, to the first rung
    assert budget.spent([TrialRecord("t0000", {}, baseline="unregularized")])  # 1,280, to the end
    # 2,000 images took 600 s, so the 10,240 of confirmation will take 3,072 s.
    clock[0] = 500
    assert not budget.spent()
    clock[0] = 600
    assert budget.spent()
    with pytest.raises(
        InputError, match="leaves nothing for the search: confirmation needs 10,240"
    ):
        tiny_study("confirmation={finalists: 2, seeds: 2}", "search.images=10000")
