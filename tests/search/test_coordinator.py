"""The search without Ray: order, decisions, failures, and going on from the journal."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from tests.conftest import tiny_study
from tune_diffreg.results import Journal, StudyFolder, read_journal
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.halving import Decision
from tune_diffreg.study import Study


def scores(value: float, memorized: float = 0.0) -> dict[str, float]:
    return {"fd_digits_cnn": value, "memorized_fraction": memorized}


def coordinator(storage: Path, study: Study) -> Coordinator:
    folder = StudyFolder(storage, study.name)
    folder.create(study)
    folder.journal.touch()
    return Coordinator(study, folder, lambda _: None, {})


def loss(trial_id: str, images: int) -> float:
    """A made-up learning curve: odd trials are better."""
    number = int(trial_id[1:])
    return 100 - images / 20 + (0 if number % 2 else 40) + number


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
    study = tiny_study()
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
    told = optuna.load_study(
        study_name=study.name, storage=f"sqlite:///{tmp_path / study.name / 'optuna.db'}"
    ).trials
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


def test_an_interrupt_starts_no_more_trials(tmp_path: Path) -> None:
    subject = coordinator(tmp_path, tiny_study())
    subject.interrupt()
    assert subject.next_trial() is None
    assert not subject.finished


@pytest.mark.parametrize("stop_after", range(0, 20, 2))
def test_going_on_from_the_journal_ends_as_if_nothing_had_happened(
    tmp_path: Path, stop_after: int
) -> None:
    study = tiny_study()
    straight = coordinator(tmp_path / "straight", study)
    play(straight, study)

    play(coordinator(tmp_path / "broken", study), study, stop_after)  # dropped without closing
    resumed = coordinator(tmp_path / "broken", study)
    play(resumed, study)
    assert resumed.records == straight.records
    starts = [e for e in read_journal(tmp_path / "broken" / "digits" / "journal.jsonl")
              if e["event"] == "start"]  # fmt: skip
    assert len({e["trial"] for e in starts}) == len(starts) == 8


class Killed(BaseException):
    """Stands for the end of the process: nothing in the code catches it."""


@pytest.mark.parametrize("line", range(1, 32, 3))
@pytest.mark.parametrize("written", [True, False], ids=["after", "before"])
def test_a_process_that_died_at_any_line_of_the_journal_is_gone_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: int, written: bool
) -> None:
    study = tiny_study()
    straight = coordinator(tmp_path / "straight", study)
    play(straight, study)

    append = Journal.append
    lines = iter(range(1, 1000))

    def die(journal: Journal, event: str, **content: object) -> object:
        dies = next(lines) == line
        if dies and not written:
            raise Killed
        result = append(journal, event, **content)
        if dies:
            raise Killed
        return result

    monkeypatch.setattr(Journal, "append", die)
    with pytest.raises(Killed):
        play(coordinator(tmp_path / "broken", study), study)
    monkeypatch.undo()
    resumed = coordinator(tmp_path / "broken", study)
    play(resumed, study)
    assert resumed.records == straight.records
