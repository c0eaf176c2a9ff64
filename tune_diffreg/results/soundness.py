"""Whether the trials of a journal are of its study, so that what is made of them need not look."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tune_diffreg.errors import InputError
from tune_diffreg.results.confirmation import Repetition
from tune_diffreg.results.trials import TrialRecord
from tune_diffreg.study import Distribution, Study, TrialConfig
from tune_diffreg.study.space import Value, takes_float


def require_sound(
    journal: Path,
    study: Study,
    records: Mapping[str, TrialRecord],
    runs: Mapping[str, Repetition],
) -> None:
    """Checks that the trials in a journal are of this study.

    Raises:
        InputError: one cannot be. The text names it.
    """
    whole = {path: not takes_float(TrialConfig, path) for path in study.search.space}
    for record in records.values():
        try:
            _require_values(study, record, whole)
            _require_scores(study, record)
        except (ValueError, KeyError) as error:
            raise InputError(f"{journal}: is damaged: trial {record.id}: {error}") from None
    for run in runs.values():
        scored = run.state != "complete" or study.objective.metric in run.scores
        if run.trial not in records or not scored:
            raise InputError(f"{journal}: is damaged: repetition {run.id} repeats no trial")


def _require_values(study: Study, record: TrialRecord, whole: Mapping[str, bool]) -> None:
    if record.baseline is not None:
        study.trial_config(record.values)
        return
    for path, value in record.values.items():
        distribution = study.search.space.get(path)
        if distribution is None or not _could_be(distribution, whole[path], value):
            raise ValueError(f"{path} {value!r} is not in the study's space")


def _could_be(distribution: Distribution, whole: bool, value: Any) -> bool:
    """Whether a sampler could have proposed it, roundings aside."""
    if distribution.choices is not None:
        return isinstance(value, Value) and distribution.contains(value)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
        return False
    assert distribution.low is not None and distribution.high is not None
    slack = 1e-9 * max(abs(distribution.low), abs(distribution.high))
    return distribution.low - slack <= value <= distribution.high + slack


def _require_scores(study: Study, record: TrialRecord) -> None:
    if record.state == "complete" and not record.reports:
        raise ValueError("it is complete and reported nothing")
    for report in record.reports:
        if study.objective.metric not in report.scores:
            raise ValueError(f"its report at {report.images:,} images has no objective")
