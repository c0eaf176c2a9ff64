"""What the figures show, looked at as data."""

from __future__ import annotations

from tests.conftest import tiny_study
from tune_diffreg.report.figures import learning_curves, tradeoff
from tune_diffreg.results import RungReport, TrialRecord


def complete(name: str, distances: list[float], memorized: float = 0.0) -> TrialRecord:
    rungs = (320, 640, 1280)
    reports = [
        RungReport(at, 1.0, {"fd_digits_cnn": d, "memorized_fraction": memorized}, "continue")
        for at, d in zip(rungs, distances, strict=True)
    ]
    return TrialRecord(name, {}, state="complete", reports=reports)


RECORDS = {"t1": complete("t1", [90, 70, 40]), "t2": complete("t2", [95, 75, 45], 0.05)}


def test_points_of_other_numbers_of_samples_are_not_joined() -> None:
    figure = learning_curves(tiny_study("evaluation.rung_samples=40"), RECORDS)
    lines = [trace for trace in figure.data if "lines" in trace.mode]
    stars = [trace for trace in figure.data if trace.mode == "markers"]
    assert [list(trace.x) for trace in lines] == [[320, 640]] * 2
    assert [(list(trace.x), list(trace.y)) for trace in stars] == [([1280], [40]), ([1280], [45])]
    assert stars[0].name == "full length, 80 samples"
    assert [trace.showlegend for trace in stars] == [True, False]
    figure = learning_curves(tiny_study("evaluation.rung_samples=null"), RECORDS)
    assert [list(trace.x) for trace in figure.data] == [[320, 640, 1280]] * 2


def test_the_trade_off_marks_what_was_chosen_and_not_what_the_search_believed() -> None:
    figure = tradeoff(tiny_study(), RECORDS, RECORDS["t2"], "chosen")
    marked = [a for a in figure.layout.annotations if "t" in a.text and ":" in a.text]
    assert [(a.text, a.x, a.y) for a in marked] == [("chosen: t2", 0.05, 45)]
