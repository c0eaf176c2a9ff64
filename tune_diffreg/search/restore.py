"""What a study's file and journal say of its search: the rungs as they stand, and the controls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from tune_diffreg.results import TrialRecord
from tune_diffreg.results.journal import Event
from tune_diffreg.search.halving import VARIANTS, Decision, Halving, Stop
from tune_diffreg.seeds import coin
from tune_diffreg.study import Study


def restore_halving(
    study: Study, events: Iterable[Event], records: Mapping[str, TrialRecord]
) -> Halving:
    """The rungs of a study with every entry that is in the journal, each once."""
    halving = _empty(study)
    for event in events:
        record = records.get(event.get("trial", ""))
        if record is None or record.baseline is not None:
            continue
        if event["event"] == "report":
            rank = study.objective.rank(event["scores"])
            halving.record(record.id, event["images"], rank, Decision(event["decision"]))
        elif event["event"] in ("promote", "end"):
            halving.release(record.id)
    return halving


def draw_controls(study: Study) -> set[int]:
    """Which trials, by number, are exempt from pruning."""
    if study.halving is None:
        return set()
    proposed = range(len(study.search.baselines), study.search.trials)
    chance = study.halving.controls
    drawn = (i for i in proposed if coin(study.search.seed, "control", i, chance))
    return set(islice(drawn, study.halving.most_controls))


def _empty(study: Study) -> Halving:
    if study.halving is None:
        return Stop(study.rungs(), 2)  # a single rung, the end: nothing is ever compared
    return VARIANTS[study.halving.variant](study.rungs(), study.halving.reduction_factor)
