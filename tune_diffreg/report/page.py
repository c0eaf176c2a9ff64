"""`report.html`: the answer first, then what it rests on. Opens without a network."""

from __future__ import annotations

import base64
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from tune_diffreg.files import write_atomically
from tune_diffreg.report.figures import learning_curves, tradeoff
from tune_diffreg.results import (
    StudyFolder,
    TrialRecord,
    audit,
    audit_sentences,
    best_trial,
    compared,
    comparison_rows,
    read_journal,
    replay,
)
from tune_diffreg.study import Study
from tune_diffreg.words import score, score_name


def write_report(folder: StudyFolder) -> None:
    """Makes the page from the study's folder, whatever state the study is in."""
    study = folder.read_study()
    records = replay(read_journal(folder.journal))
    columns = compared(study, records)
    template = Environment(
        loader=PackageLoader("tune_diffreg.report", "."), autoescape=True
    ).get_template("page.html.j2")
    page = template.render(
        study=study,
        answer=_answer(study, records),
        note=f"{score_name(study.objective.metric)}, {study.evaluation.samples} samples against "
        "the validation split; less is better.",
        table={
            "titles": [title for title, _ in columns],
            "rows": comparison_rows(study, [record for _, record in columns]),
        },
        # The library is in the page once, with its first figure.
        tradeoff=Markup(f"<script>{get_plotlyjs()}</script>") + _html(tradeoff(study, records)),
        audit=audit_sentences(found) if (found := audit(study, list(records.values()))) else [],
        curves=_html(learning_curves(study, records)),
        sheets=[
            (title, base64.b64encode(sheet.read_bytes()).decode())
            for title, record in columns
            if (sheet := folder.trial(record.id) / "samples.png").exists()
        ],
    )
    write_atomically(folder.report, page)


def _answer(study: Study, records: dict[str, TrialRecord]) -> str:
    best = best_trial(study, records.values())
    if best is None:
        return "No trial has reached full length, so there is no answer yet."
    metric = study.objective.metric
    found = (
        f"{score_name(metric, short=True)} {score(metric, best.scores[metric])} with "
        f"{score('memorized_fraction', best.scores['memorized_fraction'])} of the samples memorised"
    )
    if study.objective.violation(best.scores) > 0:
        return (
            f"No trial of full length met the constraints. Nearest is {best.label}: {found}. "
            "Do not use it as it is."
        )
    return (
        f"Use {best.label}: {found}. It is the best of {len(records)} trials on one seed each, "
        "so part of its lead is luck; it has not been confirmed on fresh seeds."
    )


def _html(figure: Any) -> Markup:
    figure.update_layout(template="plotly_white", height=420, margin={"t": 30, "r": 20})
    return Markup(figure.to_html(full_html=False, include_plotlyjs=False))
