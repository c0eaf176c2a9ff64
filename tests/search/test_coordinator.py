"""The search without Ray: order, decisions, failures, and going on from the journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from optuna.trial import TrialState

from tests.conftest import optuna_trials, tiny_study
from tune_diffreg.results import StudyFolder, read_journal
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.halving import Decision
from tune_diffreg.study import Study


def scores(value: float, memorized: float = 0.0) -> dict[str, float]:
    return {"fd_digits_cnn": value, "memorized_fraction": memorized}


def coordinator(storage: Path, study: Study) -> Coordinator:
    folder = StudyFolder(storage, study.name)
    folder.create(study)
    folder.journal.touch()
    subject = Coordinator(study, folder, lambda _: None)
    subject.begin({})
    return subject


def loss(trial_id: str, images: int) -> float:
    """A made-up learning curve: odd trials are better."""
    number = int(trial_id[1:])
    return 100 - images / 20 + (0 if number % 2 else 40) + number


STOP = "halving.variant=stop"
PROMOTE = "halving.variant=promote"


def play(subject: Coordinator, study: Study, stop_after: int | None = None) -> list[str]:
    """Runs all trials one after the other; stops in mid-course after so many reports."""
    reports, seen = 0, []
    while (assignment := subject.next_trial()) is not None:
        seen.append(assignment.trial_id)
        for rung in study.rungs():
            if rung in assignment.reported:
                continue
            if reports == stop_after:
                return seen
            reports += 1
            value = scores(loss(assignment.trial_id, rung))
            if not subject.report(assignment.trial_id, rung, 1.0, value).goes_on:
                break
    return seen


def test_baselines_come_first_and_only_as_many_trials_as_asked_for(tmp_path: Path) -> None:
    study = tiny_study(STOP)
    subject = coordinator(tmp_path, study)
    assert play(subject, study) == [f"t{n:04d}" for n in range(8)]
    records = list(subject.records.values())
    assert [r.baseline for r in records[:3]] == ["unregularized", "published", None]
    assert all(r.state == "complete" for r in records[:2])
    assert {r.state for r in records} == {"complete", "pruned"}
    assert subject.finished
    assert subject.next_trial() is None


def test_controls_are_never_pruned(tmp_path: Path) -> None:
    study = tiny_study("halving.controls=1.0")
    subject = coordinator(tmp_path, study)
    play(subject, study)
    assert all(r.control for r in subject.records.values() if not r.baseline)
    assert all(r.state == "complete" for r in subject.records.values())


def test_without_halving_nothing_is_pruned(tmp_path: Path) -> None:
    study = tiny_study("halving=null")
    subject = coordinator(tmp_path, study)
    play(subject, study)
    assert all(r.state == "complete" for r in subject.records.values())


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_score_that_is_not_finite_fails_the_trial_with_its_reason(
    tmp_path: Path, broken: float
) -> None:
    study = tiny_study("search.baselines={}")
    subject = coordinator(tmp_path, study)
    first = subject.next_trial()
    assert first is not None
    assert subject.report(first.trial_id, 320, 1.0, scores(broken)) is not Decision.CONTINUE
    record = subject.records[first.trial_id]
    assert record.state == "failed"
    assert record.reason == f"fd_digits_cnn became {broken} at 320 images seen"
    play(subject, study)
    assert subject.finished
    told = optuna_trials(tmp_path / study.name)
    assert [t.state for t in told].count(TrialState.FAIL) == 1
    assert TrialState.RUNNING not in {t.state for t in told}


def test_a_rung_is_counted_once_when_a_trial_is_restarted(tmp_path: Path) -> None:
    study = tiny_study()
    subject = coordinator(tmp_path, study)
    trial = subject.next_trial()
    assert trial is not None
    for _ in range(3):
        assert subject.report(trial.trial_id, 320, 1.0, scores(50)) is Decision.CONTINUE
    assert len(subject.records[trial.trial_id].reports) == 1


def test_with_promotion_the_best_go_on_and_the_rest_are_given_up(tmp_path: Path) -> None:
    study = tiny_study(PROMOTE, "search.trials=14", "halving.controls=0.0")
    subject = coordinator(tmp_path, study)
    order = play(subject, study)
    assert subject.finished
    assert len(order) > len(set(order)) == 14  # some came twice: paused, then promoted
    assert {r.state for r in subject.records.values()} == {"complete", "pruned"}
    proposed = [r for r in subject.records.values() if not r.baseline]
    at = {rung: sum(r.images >= rung for r in proposed) for rung in study.rungs()}
    assert at[320] == 12
    assert at[640] == 6
    assert 1 <= at[1280] <= 3
    told = subject._proposals._optuna.trials
    assert all(trial.state.is_finished() for trial in told)


def test_no_checkpoint_outlives_its_chance_of_promotion(tmp_path: Path) -> None:
    """At most (trials)/(reduction factor - 1) are paused at any time."""
    study = tiny_study(PROMOTE, "search.trials=30", "halving.controls=0.0", "search.baselines={}",
                       "halving.reduction_factor=3", "halving.first_rung=100")  # fmt: skip
    folder = StudyFolder(tmp_path, study.name)
    folder.create(study)
    folder.journal.touch()
    most = 0

    def count(_: object) -> None:
        nonlocal most
        most = max(most, sum(r.state == "paused" for r in subject.records.values()))

    subject = Coordinator(study, folder, lambda _: None)
    subject.listener = count
    play(subject, study)
    assert 3 < most <= 15
    assert subject.finished


def test_a_search_that_would_promote_nobody_still_has_an_answer(tmp_path: Path) -> None:
    study = tiny_study(PROMOTE, "search.trials=1", "search.baselines={}", "halving.controls=0.0")
    subject = coordinator(tmp_path, study)
    play(subject, study)
    assert [r.state for r in subject.records.values()] == ["complete"]


@pytest.mark.parametrize("variant", ["stop", "promote"])
def test_images_that_are_spent_end_the_search(tmp_path: Path, variant: str) -> None:
    study = tiny_study("search.images=6000", "search.trials=1000", f"halving.variant={variant}")
    subject = coordinator(tmp_path, study)
    play(subject, study)
    assert subject.finished
    seen = sum(record.images for record in subject.records.values())
    assert 6000 <= seen <= 6000 + study.training.images
    assert all(record.ended for record in subject.records.values())
    # Made anew, it knows that it is over.
    assert coordinator(tmp_path, study).next_trial() is None


def test_images_about_to_be_seen_count_as_spent(tmp_path: Path) -> None:
    study = tiny_study("search.images=1000", "search.baselines={}")
    subject = coordinator(tmp_path, study)
    started = [subject.next_trial() for _ in range(6)]
    assert sum(assignment is not None for assignment in started) == 4  # 320 images each
    assert not subject.finished


@pytest.mark.parametrize(
    "overrides",
    [["halving=null"], ["search.when_spent=stop"], [STOP, "search.when_spent=stop"]],
    ids=["all run to the end", "stopped at rungs, promote", "stopped at rungs, stop"],
)
def test_a_search_with_many_workers_leaves_confirmation_what_it_needs(
    tmp_path: Path, overrides: list[str]
) -> None:
    """Baselines and controls too are under way for longer than to the next rung."""
    study = tiny_study("halving.controls=0.5", *overrides, "search.images=6000",
                       "search.trials=1000")  # fmt: skip
    subject = coordinator(tmp_path, study)
    running: dict[str, Iterator[int]] = {}
    while not subject.finished:
        while len(running) < 8 and (assignment := subject.next_trial()) is not None:
            known = assignment.reported
            running[assignment.trial_id] = iter(r for r in study.rungs() if r not in known)
        for trial, rungs in list(running.items()):
            rung = next(rungs)
            if not subject.report(trial, rung, 1.0, scores(loss(trial, rung))).goes_on:
                del running[trial]
    seen = sum(record.images for record in subject.records.values())
    assert 6000 <= seen <= 6000 + study.training.images


def test_hours_count_running_time_alone_and_over_all_sessions(tmp_path: Path) -> None:
    study = tiny_study("search.hours=1.0", "search.baselines={}")
    folder = StudyFolder(tmp_path, study.name)
    folder.create(study)
    folder.journal.touch()
    now = 1000.0
    subject = Coordinator(study, folder, lambda _: None, lambda: now)
    assert subject.next_trial() is not None
    now += 3599
    assert subject.next_trial() is not None
    now += 1
    assert subject.next_trial() is None
    assert not subject.finished  # two are running


@pytest.mark.parametrize(
    ("when_spent", "images", "ends_at"), [("finish", 1300, 1280), ("stop", 700, 640)]
)
def test_running_trials_finish_or_stop_when_all_is_spent(
    tmp_path: Path, when_spent: str, images: int, ends_at: int
) -> None:
    study = tiny_study(f"search.images={images}", "search.baselines={}", "halving.controls=1.0",
                       f"search.when_spent={when_spent}")  # fmt: skip
    subject = coordinator(tmp_path, study)
    first, second = subject.next_trial(), subject.next_trial()
    assert first is not None
    assert second is not None
    assert subject.report(first.trial_id, 320, 1.0, scores(50)).goes_on
    for rung in (640, 1280):
        if not subject.report(first.trial_id, rung, 1.0, scores(50)).goes_on:
            break
    assert subject.records[first.trial_id].images == ends_at


def test_an_interrupt_starts_no_more_trials(tmp_path: Path) -> None:
    subject = coordinator(tmp_path, tiny_study())
    subject.interrupt()
    assert subject.next_trial() is None
    assert not subject.finished


@pytest.mark.parametrize("variant", ["stop", "promote"])
@pytest.mark.parametrize("stop_after", range(0, 20, 4))
def test_going_on_from_the_journal_ends_as_if_nothing_had_happened(
    tmp_path: Path, stop_after: int, variant: str
) -> None:
    study = tiny_study(f"halving.variant={variant}")
    straight = coordinator(tmp_path / "straight", study)
    play(straight, study)

    play(coordinator(tmp_path / "broken", study), study, stop_after)  # dropped without closing
    resumed = coordinator(tmp_path / "broken", study)
    play(resumed, study)
    assert resumed.records == straight.records
    starts = [e for e in read_journal(tmp_path / "broken" / "digits" / "journal.jsonl")
              if e["event"] == "start"]  # fmt: skip
    assert len({e["trial"] for e in starts}) == len(starts) == 8
