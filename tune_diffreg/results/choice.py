"""What a study chose as its journal stands, whether or not it could still write `best.yaml`."""

from __future__ import annotations

from tune_diffreg.errors import InputError
from tune_diffreg.results.best import Best
from tune_diffreg.results.best_config import best_config
from tune_diffreg.results.conclusion import conclude, why_unconfirmed
from tune_diffreg.results.confirmation import repetitions
from tune_diffreg.results.folder import StudyFolder
from tune_diffreg.results.journal import read_journal
from tune_diffreg.results.provenance import first_provenance
from tune_diffreg.results.soundness import require_sound
from tune_diffreg.results.summary import chosen_trial
from tune_diffreg.results.trials import replay


def read_choice(folder: StudyFolder, trial: str | None = None) -> Best:
    """What the study chose, or another of its trials of full length.

    Raises:
        InputError: there is no such trial, or the folder is damaged.
    """
    study, events = folder.read_study(), read_journal(folder.journal)
    records, runs = replay(events), repetitions(events)
    require_sound(folder.journal, study, records, runs)
    confirmation = conclude(study, records, runs)
    if trial is None:
        chosen = chosen_trial(study, records, confirmation)
        if chosen is None:
            raise InputError(f"study {folder.name!r} has no trial of full length yet")
    else:
        complete = {r.id: r for r in records.values() if r.state == "complete"}
        if trial not in complete:
            known = ", ".join(complete) or "none"
            raise InputError(f"--trial {trial}: no trial of full length; there are {known}")
        chosen = complete[trial]
    origin, unconfirmed = first_provenance(events), why_unconfirmed(study, records, runs)
    content = best_config(study, chosen, origin, confirmation, unconfirmed)
    return Best.model_validate(content)
