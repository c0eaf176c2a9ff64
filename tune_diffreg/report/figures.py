"""The figures of the report, by Plotly."""

from __future__ import annotations

import plotly.graph_objects as go

from tune_diffreg.results import TrialRecord, best_trial
from tune_diffreg.study import Study
from tune_diffreg.words import score_name

# Okabe and Ito's palette, told apart without colour vision; shapes and dashes say the same again.
_LOOKS = {
    "complete": ("#0072B2", "circle", "solid"),
    "pruned": ("#999999", "x", "dot"),
    "failed": ("#D55E00", "triangle-up", "dash"),
    "running": ("#009E73", "diamond", "dashdot"),
    "paused": ("#CC79A7", "square", "longdash"),
}


def learning_curves(study: Study, records: dict[str, TrialRecord]) -> go.Figure:
    """The objective of every trial against images seen, rungs marked."""
    metric = study.objective.metric
    figure = go.Figure()
    shown = set[str]()
    for record in records.values():
        if not record.reports:
            continue
        color, symbol, dash = _LOOKS[record.state]
        figure.add_scatter(
            x=[report.images for report in record.reports],
            y=[report.scores[metric] for report in record.reports],
            name=record.state,
            legendgroup=record.state,
            showlegend=record.state not in shown,
            mode="lines+markers",
            line={"color": color, "dash": dash},
            marker={"symbol": symbol},
            hovertemplate=f"{record.label}<br>%{{x:,}} images<br>%{{y:.2f}}<extra></extra>",
        )
        shown.add(record.state)
    for rung in study.rungs():
        figure.add_vline(x=rung, line={"color": "#999999", "width": 1, "dash": "dot"})
    figure.update_xaxes(title="images seen", type="log", tickvals=study.rungs(), tickformat=",")
    values = [report.scores[metric] for r in records.values() for report in r.reports]
    scale = "log" if min(values, default=1) > 0 else "linear"
    figure.update_yaxes(title=score_name(metric, short=True), type=scale)
    return figure


def tradeoff(study: Study, records: dict[str, TrialRecord]) -> go.Figure:
    """The objective against the memorised fraction, for trials of full length."""
    metric = study.objective.metric
    complete = [record for record in records.values() if record.state == "complete"]
    figure = go.Figure()
    for name, baseline, symbol in (("trials", False, "circle"), ("baselines", True, "square")):
        chosen = [record for record in complete if bool(record.baseline) == baseline]
        figure.add_scatter(
            x=[record.scores["memorized_fraction"] for record in chosen],
            y=[record.scores[metric] for record in chosen],
            text=[record.label for record in chosen],
            name=name,
            mode="markers",
            hovertemplate="%{text}<br>%{x:.1%} memorised<br>%{y:.2f}<extra></extra>",
            marker={"symbol": symbol, "size": 11, "color": "#E69F00" if baseline else "#0072B2"},
        )
    best = best_trial(study, complete)
    for record in complete:
        if record.baseline or record is best:
            figure.add_annotation(
                x=record.scores["memorized_fraction"],
                y=record.scores[metric],
                text=record.baseline or f"best: {record.id}",
                ay=-28,
                ax=20,
            )
    bound = study.objective.constraints.get("memorized_fraction")
    heldout = best.scores.get("heldout_memorized_fraction") if best else None
    largest = bound.largest(heldout) if bound else None
    if largest is not None:
        figure.add_vline(x=largest, line_dash="dash", annotation_text="largest allowed")
    figure.update_xaxes(title="memorised fraction", tickformat=".0%", rangemode="nonnegative")
    figure.update_yaxes(title=score_name(metric, short=True), rangemode="tozero")
    return figure
