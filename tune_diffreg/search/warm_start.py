"""What an earlier search knows, for a new one: its trials, or its best configuration."""

from __future__ import annotations

from pathlib import Path

from tune_diffreg.errors import InputError
from tune_diffreg.files import user_path
from tune_diffreg.results import StudyFolder, read_best, read_journal, replay, require_sound
from tune_diffreg.results.folder import read_resolved
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.study import Study, TrialConfig
from tune_diffreg.study.space import outside

_COMPARED = ("objective", *TrialConfig.model_fields)


def check_warm_start(study: Study) -> None:
    """Checks what `search.warm_start` names, before anything is made.

    Raises:
        InputError: there is nothing there, or the scores would not compare.
    """
    if (path := _source(study)) is None:
        return
    if path.is_file():
        strange = outside(study.search.space, study.searched(_configuration(path)))
        for setting, value in strange.items():
            raise InputError(
                f"search.warm_start: {path}: {setting} is {value!r} there, outside this study's "
                "search.space"
            )
    else:
        _check_comparable(study, _folder(path))


def warm_start(study: Study, proposals: Proposals) -> None:
    """Gives the proposals what `search.warm_start` names; doing it twice is as doing it once.

    An earlier study's trials are learned from as if they had run here; they do not count as trials
    and set no standard at the rungs. A `best.yaml` becomes the first proposal.

    Raises:
        InputError: as `check_warm_start`.
    """
    check_warm_start(study)
    if (path := _source(study)) is None:
        return
    if path.is_file():
        proposals.try_first(_configuration(path))
    else:
        _learn_from(study, _folder(path), proposals)


def _source(study: Study) -> Path | None:
    return None if study.search.warm_start is None else user_path(study.search.warm_start)


def _configuration(path: Path) -> TrialConfig:
    """Of a `best.yaml`, whose values alone are used: code that it names is not run."""
    return read_best(path, trusted=True).config


def _folder(path: Path) -> StudyFolder:
    return StudyFolder(path.parent, path.name)


def _check_comparable(study: Study, folder: StudyFolder) -> None:
    if not folder.study.exists() or not folder.journal.exists():
        raise InputError(
            f"search.warm_start: {folder.root} is neither the folder of a study that has run nor "
            "a best.yaml"
        )
    earlier = read_resolved(folder.study)  # its folder may have been given another name
    for section in _COMPARED:
        if getattr(earlier, section) != getattr(study, section):
            raise InputError(
                f"search.warm_start: {folder.root} has another '{section}', so its scores do not "
                "compare; give its best.yaml to try its best configuration first"
            )
    if earlier.search.space != study.search.space:
        raise InputError(f"search.warm_start: {folder.root} has another search.space")


def _learn_from(study: Study, folder: StudyFolder, proposals: Proposals) -> None:
    metric = study.objective.metric
    records = replay(read_journal(folder.journal))
    require_sound(folder.journal, study, records, {})
    for record in records.values():
        if record.state in ("complete", "pruned") and record.reports:
            proposals.add_finished(
                f"{folder.name}/{record.id}",
                study.trial_config(record.values),
                {report.images: report.scores[metric] for report in record.reports},
                complete=record.state == "complete",
                violations=study.objective.excess(record.scores),
            )
