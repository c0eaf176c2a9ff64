"""What MLflow is told of the decision: of the search's belief, and of what confirmation found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import tiny_study
from tests.search.test_coordinator import coordinator, play
from tests.tracking.contents import Contents, contents
from tune_diffreg.results import StudyFolder, read_journal, read_state
from tune_diffreg.search.confirmation import Confirmation
from tune_diffreg.tracking import local_uri
from tune_diffreg.tracking.delivery import Delivery

STUDY = tiny_study(
    "confirmation={finalists: 1, seeds: 2}",
    "search.trials=5",
    "evaluation.rung_samples=40",
    "objective.constraints={memorized_fraction: {max: 0.1}}",
)


def told(storage: Path, memorized: float) -> tuple[dict[str, Any], Contents]:
    """The summary, and the runs by their trial, of a study whose repetitions memorise so much."""
    search = coordinator(storage, STUDY)
    play(search, STUDY)
    confirmation = Confirmation(STUDY, search.journal, search.records, lambda _: None)
    while (assignment := confirmation.next_trial()) is not None:
        run = confirmation.runs[assignment.trial_id]
        scores = {"fd_digits_cnn": 40.0 + run.number, "memorized_fraction": memorized}
        confirmation.report(run.id, 1280, 1.0, scores)
    search.close(finished=True)
    folder = StudyFolder(storage, STUDY.name)
    summary = read_state(folder)
    delivery = Delivery(STUDY, folder)
    delivery.deliver()
    delivery.finish(summary)
    runs = contents(local_uri(storage), STUDY.name).values()
    return summary, {run["tags"].get("trial_id", "study"): run for run in runs}


@pytest.mark.parametrize(("memorized", "feasible"), [(0.0, True), (0.5, False)])
def test_the_study_s_run_has_what_was_confirmed(
    tmp_path: Path, memorized: float, feasible: bool
) -> None:
    summary, runs = told(tmp_path, memorized)
    study = runs["study"]
    assert summary["best"]["feasible"] == feasible
    assert study["tags"]["best_is_feasible"] == str(feasible).lower()
    assert study["tags"]["best_is_confirmed_to_improve"] == "false"
    values = {name: points[0][2] for name, points in study["metrics"].items()}
    assert values["best_fd_digits_cnn"] == summary["best"]["value"]
    assert values["confirmed_fd_digits_cnn"] == 41.5
    assert values["confirmed_fd_digits_cnn_low"] < 41.5 < values["confirmed_fd_digits_cnn_high"]
    assert values["confirmed_memorized_fraction"] == memorized


def test_a_run_says_on_how_many_samples_of_which_split_and_whether_it_is_feasible(
    tmp_path: Path,
) -> None:
    summary, runs = told(tmp_path, memorized=0.5)
    trial = summary["best"]["trial_id"]
    searched, repeated = runs[trial], runs[f"{trial}-1"]
    assert (searched["tags"]["split"], searched["tags"]["feasible"]) == ("validation", "true")
    assert (repeated["tags"]["split"], repeated["tags"]["feasible"]) == ("test", "false")
    samples = [(step, value) for step, _, value in searched["metrics"]["samples"]]
    assert samples == [(320, 40), (640, 40), (1280, 80)]
    assert [value for *_, value in repeated["metrics"]["samples"]] == [80]
    pruned = {e["trial"] for e in read_journal(StudyFolder(tmp_path, STUDY.name).journal)
              if e["event"] == "end" and e["state"] == "pruned"}  # fmt: skip
    assert all("feasible" not in runs[name]["tags"] for name in pruned)
