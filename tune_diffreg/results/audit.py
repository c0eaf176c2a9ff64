"""How far the pruning of a study can be trusted, judged by its controls.

Controls are drawn by lot and never pruned, so what they did after each rung is what pruned trials
would have done.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.study import Study
from tune_diffreg.words import counted

# With fewer, the interval of a rank correlation of 0.5 reaches from below 0 to above 0.8.
ENOUGH_CONTROLS = 8
# A rung that orders trials worse than this is warned about.
POOR_CORRELATION = 0.5
_CONFIDENCE = 0.9


def audit(study: Study, records: Sequence[TrialRecord]) -> dict[str, Any] | None:
    """The `audit` of `summary.json`; None for a study that prunes nothing."""
    if study.halving is None:
        return None
    controls = [r for r in records if r.control and r.state == "complete"]
    enough = len(controls) >= ENOUGH_CONTROLS
    result = {
        "controls": len(controls),
        "controls_needed": ENOUGH_CONTROLS,
        "rungs": [
            {"images": rung, **_agreement(study, controls, rung)} for rung in study.rungs()[:-1]
        ]
        if enough
        else None,
        "pruned_would_win": _would_win(study, records, controls) if enough else None,
        "images": _images(study, records),
    }
    return {**result, "warnings": _warnings(result)}


def audit_sentences(audit: dict[str, Any]) -> list[str]:
    """The audit for people, a sentence a finding; the warnings last."""
    images = audit["images"]
    said = [
        f"Pruning saved {images['saved']:.0%} of the training: {images['seen']:,} images seen, "
        f"{images['without_pruning']:,} without it."
    ]
    if audit["rungs"] is None:
        said.append(
            "Whether it stopped the right trials cannot be told from "
            f"{counted(audit['controls'], 'control')}; {audit['controls_needed']} are needed "
            "(raise halving.controls or search.trials)."
        )
        return said
    rungs = ", ".join(
        f"{rung['spearman']:.2f} at {rung['images']:,} ({_between(rung['interval_90'], '.2f')})"
        for rung in audit["rungs"]
    )
    said.append(
        "How rungs order trials against the end, Spearman's correlation over "
        f"{audit['controls']} controls: {rungs}."
    )
    wins = audit["pruned_would_win"]
    if wins["controls"]:
        said.append(
            f"Chance that a pruned trial would have won: {wins['chance']:.0%} "
            f"({_between(wins['interval_90'], '.0%')}); of "
            f"{counted(wins['controls'], 'control')} that would have been pruned, "
            f"{wins['won']} beat all that would not."
        )
    else:
        said.append("No control would have been pruned.")
    return [*said, *audit["warnings"]]


def _agreement(study: Study, controls: Sequence[TrialRecord], rung: int) -> dict[str, Any]:
    """Spearman's correlation of the order at a rung with that at the end, and its interval.

    The interval is Bonett and Wright's (2000), with variance (1 + r^2 / 2) / (n - 3) of Fisher's z.
    """
    from scipy.stats import norm, spearmanr  # takes a second to import

    pairs = [
        (study.objective.rank(report.scores), study.objective.rank(record.scores))
        for record in controls
        for report in record.reports
        if report.images == rung
    ]
    places = [_places([pair[side] for pair in pairs]) for side in (0, 1)]
    if min(len(set(side)) for side in places) < 2:
        return {"spearman": 0.0, "interval_90": [-1.0, 1.0]}  # all alike: no order to compare
    r = float(spearmanr(*places).statistic)
    reach = norm.ppf(0.5 + _CONFIDENCE / 2) * math.sqrt((1 + r * r / 2) / (len(pairs) - 3))
    centre = math.atanh(max(-0.999999, min(0.999999, r)))
    return {
        "spearman": round(r, 4),
        "interval_90": [round(math.tanh(centre + sign * reach), 4) for sign in (-1, 1)],
    }


def _places(ranks: Sequence[tuple[float, float]]) -> list[int]:
    """Ranks as whole numbers: equal ones get equal numbers."""
    order = sorted(set(ranks))
    return [order.index(rank) for rank in ranks]


def _would_win(
    study: Study, records: Sequence[TrialRecord], controls: Sequence[TrialRecord]
) -> dict[str, Any]:
    """How many controls that pruning would have ended are better than all that it would not."""
    from scipy.stats import beta  # takes a second to import

    spared = [record for record in controls if _would_have_ended(study, records, record)]
    others = [r for r in records if r.state == "complete" and not r.baseline and r not in spared]
    best = min((study.objective.rank(r.scores) for r in others), default=(math.inf, math.inf))
    won = sum(study.objective.rank(record.scores) < best for record in spared)
    # Jeffreys' interval of a share.
    low, high = beta.interval(_CONFIDENCE, won + 0.5, len(spared) - won + 0.5)
    return {
        "controls": len(spared),
        "won": won,
        "chance": won / len(spared) if spared else None,
        "interval_90": [
            0.0 if won == 0 else round(float(low), 4),
            1.0 if won == len(spared) else round(float(high), 4),
        ],
    }


def _would_have_ended(study: Study, records: Sequence[TrialRecord], control: TrialRecord) -> bool:
    """Whether a control went on only because it is one."""
    assert study.halving is not None
    if study.halving.variant == "stop":
        return any(report.decision == "spare" for report in control.reports)
    # A paused trial may be promoted at any later time: what counts is where it stood in the end.
    for rung in study.rungs()[:-1]:
        here = {
            record.id: study.objective.rank(report.scores)
            for record in records
            if record.baseline is None
            for report in record.reports
            if report.images == rung
        }
        if control.id not in here:
            continue
        better = sum(rank < here[control.id] for rank in here.values())
        if better >= len(here) // study.halving.reduction_factor:
            return True
    return False


def _images(study: Study, records: Sequence[TrialRecord]) -> dict[str, Any]:
    """Images seen by the trials that have ended, against all of them at full length."""
    ended = [record for record in records if record.state in ("complete", "pruned")]
    seen = sum(record.images for record in ended)
    whole = len(ended) * study.training.images
    return {
        "seen": seen,
        "without_pruning": whole,
        "saved": round(1 - seen / whole, 4) if whole else 0.0,
    }


def _warnings(result: dict[str, Any]) -> list[str]:
    poor = [r for r in result["rungs"] or [] if r["spearman"] < POOR_CORRELATION]
    return [
        f"Rung {rung['images']:,} orders trials at Spearman {rung['spearman']:.2f}: raise "
        "halving.first_rung."
        for rung in poor
    ]


def _between(interval: Sequence[float], style: str) -> str:
    return f"{interval[0]:{style}} to {interval[1]:{style}}"
