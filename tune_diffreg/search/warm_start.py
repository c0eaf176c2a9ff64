"""What an earlier search knows, for a new one: its trials, or its best configuration."""

from __future__ import annotations

from pathlib import Path

from tune_diffreg.errors import InputError
from tune_diffreg.results import StudyFolder, read_best, read_journal, replay
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.study import Study, TrialConfig

_COMPARED = ("objective", *TrialConfig.model_fields)


def warm_start(study: Study, proposals: Proposals) -> None:
    """Gives the proposals what `search.warm_start` names; doing it twice is as doing it once.

    An earlier study's trials are learned from as if they had run here; they do not count as trials
    and set no standard at the rungs. A `best.yaml` becomes the first proposal.

    Raises:
        InputError: there is nothing there, or the scores would not compare.
    """
    if study.search.warm_start is None:
        return
    path = Path(study.search.warm_start)
    if path.is_file():
        _try_first(path, proposals)
    else:
        _learn_from(study, StudyFolder(path.parent, path.name), proposals)


def _try_first(path: Path, proposals: Proposals) -> None:
    try:
        proposals.try_first(read_best(path).config)
    except ValueError as error:
        raise InputError(f"search.warm_start: {path}: {error}") from None


def _learn_from(study: Study, folder: StudyFolder, proposals: Proposals) -> None:
    if not folder.study.exists() or not folder.journal.exists():
        raise InputError(
            f"search.warm_start: {folder.root} is neither the folder of a study that has run nor "
            "a best.yaml"
        )
    earlier = folder.read_study()
    for section in _COMPARED:
        if getattr(earlier, section) != getattr(study, section):
            raise InputError(
                f"search.warm_start: {folder.root} has another '{section}', so its scores do not "
                "compare; give its best.yaml to try its best configuration first"
            )
    if earlier.search.space != study.search.space:
        raise InputError(f"search.warm_start: {folder.root} has another search.space")
    metric = study.objective.metric
    for record in replay(read_journal(folder.journal)).values():
        if record.state in ("complete", "pruned") and record.reports:
            proposals.add_finished(
                f"{earlier.name}/{record.id}",
                study.trial_config(record.values),
                {report.images: report.scores[metric] for report in record.reports},
                complete=record.state == "complete",
                violations=study.objective.excess(record.scores),
            )
