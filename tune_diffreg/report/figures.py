"""The figures of the report, by Plotly."""

from __future__ import annotations

import plotly.graph_objects as go

from tune_diffreg.report.effects import Effect
from tune_diffreg.results import Repetition, TrialRecord
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


_SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up")


def learning_curves(study: Study, records: dict[str, TrialRecord]) -> go.Figure:
    """The objective of every trial against images seen, rungs marked.

    Where a trial of full length is scored on more samples than at rungs, that point stands apart:
    the distance of fewer samples is larger by itself.
    """
    metric = study.objective.metric
    figure = go.Figure()
    shown = set[str]()
    apart = study.evaluation.samples_at_rungs < study.evaluation.samples
    for record in records.values():
        if not record.reports:
            continue
        color, symbol, dash = _LOOKS[record.state]
        line = [r for r in record.reports if not apart or r.images < study.training.images]
        hover = f"{record.label}<br>%{{x:,}} images<br>%{{y:.2f}}<extra></extra>"
        figure.add_scatter(
            x=[report.images for report in line],
            y=[report.scores[metric] for report in line],
            name=record.state,
            legendgroup=record.state,
            showlegend=record.state not in shown,
            mode="lines+markers",
            line={"color": color, "dash": dash},
            marker={"symbol": symbol},
            hovertemplate=hover,
        )
        shown.add(record.state)
        if len(line) < len(record.reports):
            figure.add_scatter(
                x=[record.reports[-1].images],
                y=[record.reports[-1].scores[metric]],
                name=f"full length, {study.evaluation.samples} samples",
                legendgroup="full length",
                showlegend="full length" not in shown,
                mode="markers",
                marker={"symbol": "star", "size": 10, "color": color},
                hovertemplate=hover,
            )
            shown.add("full length")
    for rung in study.rungs():
        figure.add_vline(x=rung, line={"color": "#999999", "width": 1, "dash": "dot"})
    figure.update_xaxes(title="images seen", type="log", tickvals=study.rungs(), tickformat=",")
    values = [report.scores[metric] for r in records.values() for report in r.reports]
    scale = "log" if min(values, default=1) > 0 else "linear"
    figure.update_yaxes(title=score_name(metric, short=True), type=scale)
    return figure


def tradeoff(
    study: Study, records: dict[str, TrialRecord], marked: TrialRecord | None, word: str
) -> go.Figure:
    """The objective against the memorised fraction, for trials of full length, in the search.

    Args:
        marked: the trial that the study chose, and the `word` that stands before it.
    """
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
    most = max((record.scores["memorized_fraction"] for record in complete), default=0.0)
    for record in complete:
        if record.baseline or record is marked:
            name = record.baseline or record.id
            at_left = record.scores["memorized_fraction"] <= most / 2
            figure.add_annotation(
                x=record.scores["memorized_fraction"],
                y=record.scores[metric],
                text=f"{word}: {name}" if record is marked else name,
                ay=-28,
                ax=20 if at_left else -20,
                xanchor="left" if at_left else "right",  # towards the middle
            )
    bound = study.objective.constraints.get("memorized_fraction")
    heldout = marked.scores.get("heldout_memorized_fraction") if marked else None
    largest = bound.largest(heldout) if bound else None
    if largest is not None:
        figure.add_vrect(
            x0=0, x1=largest, fillcolor="#009E73", opacity=0.12, line_width=0,
            annotation_text="allowed", annotation_position="top left",
        )  # fmt: skip
    front = pareto_front([(r.scores["memorized_fraction"], r.scores[metric]) for r in complete])
    figure.add_scatter(
        x=[x for x, _ in front], y=[y for _, y in front], name="no trial beats these in both",
        mode="lines", line={"color": "#999999", "dash": "dot", "shape": "hv"}, hoverinfo="skip",
    )  # fmt: skip
    end = max(most, largest or 0.0, 0.01)
    figure.update_xaxes(
        title="memorised fraction", tickformat=".0%", range=[-0.02 * end, 1.04 * end]
    )
    figure.update_yaxes(title=score_name(metric, short=True), rangemode="tozero")
    return figure


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points that no other is at least as good as in both and better in one; from left to right."""
    front: list[tuple[float, float]] = []
    for x, y in sorted(set(points)):
        if not front or y < front[-1][1]:
            front.append((x, y))
    return front


def importance(effects: list[Effect]) -> go.Figure:
    """How much of what is good each setting decides, most important at the top."""
    told = [(e.name, e.importance) for e in reversed(effects) if e.importance is not None]
    figure = go.Figure(
        go.Bar(
            x=[share.value for _, share in told],
            y=[name for name, _ in told],
            error_x={
                "array": [share.high - share.value for _, share in told],
                "arrayminus": [share.value - share.low for _, share in told],
            },
            orientation="h",
            marker={"color": "#0072B2"},
            hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        )
    )
    figure.update_xaxes(
        title="share of importance (PED-ANOVA), 95 % interval over resampled trials",
        tickformat=".0%",
    )
    return figure


def loss_gaps(trials: list[tuple[str, TrialRecord]]) -> go.Figure:
    """How much higher the loss is on held-out images, by noise level."""
    figure = go.Figure()
    bands = range(1, 5)
    names = ("least noise", "", "", "most noise")
    for (title, record), symbol in zip(trials, _SYMBOLS * len(trials), strict=False):
        figure.add_scatter(
            x=[f"{band}. quarter<br>{name}" for band, name in zip(bands, names, strict=True)],
            y=[record.scores.get(f"loss_gap_band_{band}") for band in bands],
            name=title,
            mode="lines+markers",
            marker={"symbol": symbol, "size": 9},
            hovertemplate="%{y:.0%}<extra>" + title + "</extra>",
        )
    figure.update_yaxes(title="loss on held-out over training images, less 1", tickformat=".0%")
    return figure


def where_time_went(
    records: dict[str, TrialRecord], runs: dict[str, Repetition], wall_s: float
) -> go.Figure:
    """Seconds of all trials by what became of them."""
    seconds: dict[str, float] = {}
    for record in records.values():
        kind = f"baselines, {record.state}" if record.baseline else f"trials, {record.state}"
        if record.reports:
            seconds[kind] = seconds.get(kind, 0.0) + record.reports[-1].seconds
    confirming = sum(run.seconds for run in runs.values())
    if confirming:
        seconds["confirmation"] = confirming
    figure = go.Figure(
        go.Bar(
            x=[value / 60 for value in seconds.values()],
            y=list(seconds),
            orientation="h",
            marker={"color": "#0072B2"},
            hovertemplate="%{y}: %{x:.1f} min<extra></extra>",
        )
    )
    figure.update_xaxes(title=f"minutes of all trials together; the study took {wall_s / 60:.1f}")
    return figure
