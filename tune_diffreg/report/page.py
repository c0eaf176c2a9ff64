"""`report.html`: the answer first, then what it rests on. Opens without a network."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from tune_diffreg.files import read_picture, write_atomically
from tune_diffreg.report.effects import LEAST, effects
from tune_diffreg.report.figures import (
    importance,
    learning_curves,
    loss_gaps,
    tradeoff,
    where_time_went,
)
from tune_diffreg.results import (
    StudyFolder,
    TrialRecord,
    audit,
    audit_sentences,
    chosen_trial,
    compared,
    comparison_rows,
    conclude,
    confirmation_rows,
    first_floor,
    headline,
    read_journal,
    repetitions,
    replay,
    require_sound,
    unfinished,
    verdict,
    wall_seconds,
    why_unconfirmed,
)
from tune_diffreg.results.folder import PAIRS, SAMPLES, there
from tune_diffreg.study import Study
from tune_diffreg.words import floor_sentence, score, score_name

_MARGINS = {"t": 30, "r": 20}


def write_report(folder: StudyFolder) -> None:
    """Makes the page from the study's folder, whatever state the study is in."""
    study = folder.read_study()
    events = read_journal(folder.journal)
    records, runs = replay(events), repetitions(events)
    require_sound(folder.journal, study, records, runs)
    confirmation = conclude(study, records, runs)
    chosen = chosen_trial(study, records, confirmation)
    columns = compared(study, records, chosen if confirmation else None)
    told, floor = effects(study, records.values()), first_floor(events)
    template = Environment(
        loader=PackageLoader("tune_diffreg.report", "."), autoescape=True
    ).get_template("page.html.j2")
    page = template.render(
        study=study,
        answer=[
            *_answer(study, records, confirmation, why_unconfirmed(study, records, runs)),
            *unfinished(study, events),
        ],
        note=f"{score_name(study.objective.metric)}, {study.evaluation.samples} samples against "
        "the validation split; less is better. ± is one standard error of the choice of samples."
        + (f" {floor_sentence(study.distance, floor)}." if floor else ""),
        confirmation=None if confirmation is None else confirmation_rows(study, confirmation),
        confirmed=confirmation,
        table={
            "titles": [title for title, _ in columns],
            "rows": comparison_rows(study, [record for _, record in columns]),
        },
        plotly=Markup(get_plotlyjs()),
        tradeoff=_html(tradeoff(study, records, chosen, "chosen" if confirmation else "best")),
        curves=_html(learning_curves(study, records)),
        importance=_html(importance(told.of)) if any(e.importance for e in told.of) else None,
        effects=told,
        least=LEAST,
        gaps=_html(loss_gaps(columns)) if columns else None,
        audit=audit_sentences(found) if (found := audit(study, list(records.values()))) else [],
        time=_html(where_time_went(records, runs, wall_seconds(events))),
        real=_picture(there(folder.real)),
        sheets=_pictures(folder, columns, SAMPLES),
        pairs=_pictures(folder, columns, PAIRS),
    )
    write_atomically(folder.report, page)


def _answer(
    study: Study,
    records: dict[str, TrialRecord],
    confirmation: dict[str, Any] | None,
    unconfirmed: str | None,
) -> list[str]:
    """What to do, in sentences; the first says it."""
    if confirmation is not None:
        return [headline(confirmation), *verdict(study, confirmation)]
    best = chosen_trial(study, records, None)
    if best is None:
        return ["No trial has reached full length, so there is no answer yet."]
    metric = study.objective.metric
    found = (
        f"{score_name(metric, short=True)} {score(metric, best.scores[metric])} with "
        f"{score('memorized_fraction', best.scores['memorized_fraction'])} of the samples memorised"
    )
    if study.objective.violation(best.scores) > 0:
        return [
            f"No trial of full length met the constraints. Nearest is {best.label}: {found}. "
            "Do not use it as it is.",
            *filter(None, [unconfirmed]),
        ]
    return [
        f"Use {best.label}: {found}.",
        f"It is the best of {len(records)} trials on one seed each, so part of its lead is luck; "
        "it has not been confirmed on fresh seeds.",
        *filter(None, [unconfirmed]),
    ]


def _pictures(
    folder: StudyFolder, columns: list[tuple[str, TrialRecord]], name: str
) -> list[tuple[str, str]]:
    """The sheet `name` of each compared trial that has one, with the trial's title."""
    found = [(title, _picture(folder.of_trial(record.id, name))) for title, record in columns]
    return [(title, picture) for title, picture in found if picture is not None]


def _picture(path: Path) -> str | None:
    return base64.b64encode(read_picture(path)).decode() if path.exists() else None


def _html(figure: Any) -> Markup:
    """Transparent, so that the page's light or dark ground shows."""
    figure.update_layout(
        template="plotly_white",
        height=420,
        margin=_MARGINS,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.12},
    )
    return Markup(
        figure.to_html(full_html=False, include_plotlyjs=False, config={"responsive": True})
    )
