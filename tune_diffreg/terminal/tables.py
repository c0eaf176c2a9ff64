"""The tables that commands print."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from tune_diffreg.results import TrialRecord, compared, comparison_rows, confirmation_rows
from tune_diffreg.results.verdict import interval
from tune_diffreg.study import Study
from tune_diffreg.words import (
    constraint,
    duration,
    floor_sentence,
    score,
    score_name,
    setting,
    within,
)


def result_table(
    study: Study,
    records: dict[str, TrialRecord],
    chosen: TrialRecord | None = None,
    floor: dict[str, Any] | None = None,
) -> Table:
    """Baselines against the best trial, or what confirmation chose.

    Args:
        floor: what real images score; None where it is not known.
    """
    columns = compared(study, records, chosen)
    table = Table(
        caption=f"{score_name(study.objective.metric)}, {study.evaluation.samples} samples "
        "against the validation split; less is better"
        + (f"; {floor_sentence(study.distance, floor)}" if floor else ""),
        caption_justify="left",
    )
    table.add_column("")
    for title, _ in columns:
        table.add_column(title, justify="right")
    rows = comparison_rows(study, [record for _, record in columns])
    for index, (name, cells) in enumerate(rows):
        table.add_row(name, *cells, end_section=index == len(study.search.space) - 1)
    return table


def confirmation_table(study: Study, confirmation: dict[str, Any]) -> Table:
    """Finalists and baselines on fresh seeds and the test split."""
    head, *rows = confirmation_rows(study, confirmation)
    table = Table(
        caption=f"means of {confirmation['seeds']} fresh seeds on the test split, "
        f"{confirmation['samples']} samples, with 95 % intervals",
        caption_justify="left",
    )
    for title in head:
        table.add_column(title, justify="right" if title else "left")
    for row in rows:
        table.add_row(*row)
    return table


def trials_table(study: Study, records: dict[str, TrialRecord]) -> Table:
    """One row a trial, best first among the complete."""
    metric = study.objective.metric
    table = Table()
    for title in ("trial", "state", "images seen", score_name(metric, short=True), "memorised"):
        table.add_column(title, justify="left" if title in ("trial", "state") else "right")

    def order(record: TrialRecord) -> tuple[bool, tuple[float, float]]:
        rank = study.objective.rank(record.scores) if record.scores else (float("inf"), 0.0)
        return record.state != "complete", rank

    for record in sorted(records.values(), key=order):
        table.add_row(
            record.label + (" (control)" if record.control else ""),
            record.state if record.reason is None else f"{record.state}: {record.reason}",
            f"{record.images:,}",
            score(metric, record.scores.get(metric)),
            score("memorized_fraction", record.scores.get("memorized_fraction")),
        )
    return table


def plan_table(plan: dict[str, Any]) -> Table:
    """What `check` found, a row a fact."""
    table = Table.grid(padding=(0, 2))
    rungs = ", ".join(f"{rung:,}" for rung in plan["rungs"])
    bounds = ", ".join(constraint(name, bound) for name, bound in plan["constraints"].items())
    chance = score("heldout_memorized_fraction", plan["heldout_memorized_fraction"])
    table.add_row("study", plan["study"])
    table.add_row("trials", f"{plan['trials']}, baselines {', '.join(plan['baselines']) or 'none'}")
    table.add_row("searched", ", ".join(plan["searched"]))
    table.add_row("rungs", f"{rungs} images seen")
    table.add_row("at a time", f"{plan['concurrent_trials']} trials")
    table.add_row("in all", f"at most {plan['images_at_most']:,} images seen, less what is pruned")
    budget = [f"{n:,} {unit}" for unit, n in plan["budget"].items() if n is not None]
    if budget:
        table.add_row("until", f"{' or '.join(budget)} are spent".replace("images", "images seen"))
    table.add_row("objective", f"{score_name(plan['objective'])}{'; ' if bounds else ''}{bounds}")
    table.add_row("by chance", f"{chance} of real held-out images count as memorised")
    table.add_row("floor", floor_sentence(plan["distance"], plan["floor"]))
    near = {name: count for name, count in plan["near_copies_by_split"].items() if count}
    if near:
        told = ", ".join(f"{count:,} in {split}" for split, count in near.items())
        table.add_row("near-copies", f"of training images: {told}")
    doubles = plan["duplicates"]["train"]
    if doubles:
        table.add_row("doubles", f"{doubles:,} in train, which count once")
    if plan["cost"]:
        table.add_row("a trial", _cost(plan["cost"]))
    return table


def _cost(cost: dict[str, Any]) -> str:
    speed = f"{cost['images_per_second']:,.0f} images/s"
    seconds = cost["training_seconds"] + cost["scoring_seconds"]
    text = f"{speed}, {duration(seconds)} at full length, of it {cost['scoring_share']:.0%} scoring"
    if cost["gpu_share"] is None:
        return text
    count = cost["trials_per_gpu"]
    share = int(100 / count) / 100
    packed = f"{count} such trials fit, with resources.gpu {share:g}" if count > 1 else ""
    return f"{text}; memory: {cost['gpu_share']:.0%} of the GPU{'; ' if packed else ''}{packed}"


def repeat_table(before: dict[str, float], now: dict[str, float], repeats: bool) -> Table:
    """The scores of the search beside those of a training, which may be a repetition of it."""
    table = Table()
    for title in ("", "in the search", "now"):
        table.add_column(title, justify="right" if title else "left")
    for name, value in now.items():
        table.add_row(
            score_name(name, short=True), score(name, before.get(name)), score(name, value)
        )
    if repeats:
        same = before == now
        table.caption = "equal to the last bit" if same else "not equal to the last bit"
    return table


def comparison_table(found: dict[str, Any]) -> Table:
    """Two studies or exports: settings in which they differ, scores, and confirmed ones."""
    table = Table()
    for title in ("", *(f"{n}: {t}" for n, t in zip(found["names"], found["trials"], strict=True))):
        table.add_column(title, justify="right" if title else "left")
    for path, values in found["settings"].items():
        table.add_row(path, *(setting(value) for value in values))
    table.add_section()
    for name, values in found["scores"].items():
        table.add_row(score_name(name, short=True), *(score(name, value) for value in values))
    for name, both in found["confirmed"].items():
        table.add_row(
            f"{score_name(name, short=True)}, confirmed", *(interval(name, x) for x in both)
        )
    return table


def judgement_table(found: dict[str, Any]) -> Table:
    """The scores of `evaluate`, and what real images score."""
    table = Table()
    for title in ("", "these images", "real images"):
        table.add_column(title, justify="right" if title else "left")
    scores, floor = found["scores"], found["floor"]
    distance = next(iter(scores))  # the Fréchet distance comes first
    about = "about " if floor["measured"] != floor["images"] else ""
    best = {distance: f"{about}{score(distance, floor['value'])} ({floor['images']:,} images)"}
    for name, value in scores.items():
        if name.endswith("_se") or name.startswith("heldout_"):
            continue
        told = within(name, value, scores.get(f"{name}_se"))
        heldout = scores.get(f"heldout_{name}")
        real = best.get(name, "-" if heldout is None else score(name, heldout))
        table.add_row(score_name(name), told, real)
    train = "" if found["train"] is None else f", {found['train']:,} training images"
    table.caption = (
        f"{found['images']:,} images against {found['against']:,} real ones{train}; ± is one "
        "standard error"
    )
    if found["duplicates"]:
        table.caption += (
            f"; doubles among the training images, which count once: {found['duplicates']:,}"
        )
    if found["near_copies"]:
        table.caption += (
            f"; near-copies of training images among the real ones: {found['near_copies']:,}; they "
            "make memorisation look like generalisation"
        )
    return table


def studies_table(rows: list[dict[str, Any]]) -> Table:
    """One row a study."""
    table = Table()
    for title in ("study", "state", "complete", "pruned", "failed", "started", "best", "time"):
        table.add_column(title, justify="left" if title in ("study", "state") else "right")
    for row in rows:
        trials, best = row["trials"], row["best"]
        value = score(row["objective"]["metric"], best["value"]) if best else "-"
        table.add_row(
            row["study"],
            row["state"],
            *(str(trials[state]) for state in ("complete", "pruned", "failed", "total")),
            value,
            duration(row["wall_s"]),
        )
    return table
