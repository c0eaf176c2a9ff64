"""What a study's runs say of themselves in MLflow's UI."""

from __future__ import annotations

from typing import Any

from tune_diffreg.results import audit_sentences
from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.results.verdict import confirmation_rows, verdict
from tune_diffreg.study import Study
from tune_diffreg.words import constraint, counted, knob, score, score_name, setting

_LONGEST_NAME = 200


def run_name(record: TrialRecord) -> str:
    """A trial by its id, and by what makes it differ from others."""
    told = [
        f"{knob(path, record.values)} {setting(value)}" for path, value in record.values.items()
    ]
    return ": ".join([record.label, *([", ".join(told)] if told else [])])[:_LONGEST_NAME]


def description(study: Study, summary: dict[str, Any] | None) -> str:
    """A study in Markdown: what it looks for and, once there is a summary, what it found."""
    bounds = [
        constraint(name, bound.model_dump(exclude_none=True))
        for name, bound in study.objective.constraints.items()
    ]
    lines = [
        f"Searches {', '.join(f'`{path}`' for path in study.search.space)} in "
        f"{counted(study.search.trials, 'trial')} for the least "
        f"{score_name(study.objective.metric)}" + (f", {'; '.join(bounds)}" if bounds else "") + "."
    ]
    if summary is None:
        return lines[0]
    trials = summary["trials"]
    lines.append(
        f"State: {summary['state']}; {trials['complete']} complete, {trials['pruned']} pruned, "
        f"{trials['failed']} failed of {trials['total']} trials; "
        f"{summary['images_seen']:,} images seen."
    )
    confirmation = summary["confirmation"]
    if confirmation is not None:
        lines += [" ".join(verdict(study, confirmation)), _table(study, confirmation)]
    elif summary["best"] is not None:
        best = summary["best"]
        kind = "Best" if best["feasible"] else "Best, though it breaks a constraint"
        lines.append(
            f"{kind}: {best['trial_id']}, {score_name(study.objective.metric, short=True)} "
            f"{score(study.objective.metric, best['value'])}, of one seed. "
            + (summary["unconfirmed"] or "Nothing is confirmed.")
        )
    if summary["audit"]:
        lines.append(" ".join(audit_sentences(summary["audit"])))
    lines.append("`report.html` among the artifacts tells it with pictures.")
    return "\n\n".join(lines)


def _table(study: Study, confirmation: dict[str, Any]) -> str:
    head, *rows = [f"| {' | '.join(cells)} |" for cells in confirmation_rows(study, confirmation)]
    rule = "|" + "---|" * (head.count("|") - 1)
    return "\n".join([head, rule, *rows])
