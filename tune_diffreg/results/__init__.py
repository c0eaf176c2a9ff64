"""What a study leaves behind: its folder, its journal, and the tables made from them.

Search writes it; tracking, report and production read it.
"""

from tune_diffreg.results.audit import audit, audit_sentences
from tune_diffreg.results.best import Best, read_best, trained, with_settings
from tune_diffreg.results.choice import read_choice
from tune_diffreg.results.comparison import compared, comparison_rows
from tune_diffreg.results.conclusion import conclude, why_unconfirmed
from tune_diffreg.results.confirmation import Repetition, candidates, repetitions
from tune_diffreg.results.folder import StudyFolder
from tune_diffreg.results.journal import Journal, read_journal
from tune_diffreg.results.listing import list_states, list_studies, open_study
from tune_diffreg.results.provenance import versions
from tune_diffreg.results.ranking import best_trial, leading_trial
from tune_diffreg.results.soundness import require_sound
from tune_diffreg.results.summary import (
    chosen_trial,
    final_state,
    first_floor,
    read_state,
    summarize,
    usable,
    write_results,
)
from tune_diffreg.results.trials import RungReport, TrialRecord, replay, wall_seconds
from tune_diffreg.results.verdict import confirmation_rows, headline, unfinished, verdict

__all__ = [
    "Best",
    "Journal",
    "Repetition",
    "RungReport",
    "StudyFolder",
    "TrialRecord",
    "audit",
    "audit_sentences",
    "best_trial",
    "candidates",
    "chosen_trial",
    "compared",
    "comparison_rows",
    "conclude",
    "confirmation_rows",
    "final_state",
    "first_floor",
    "headline",
    "leading_trial",
    "list_states",
    "list_studies",
    "open_study",
    "read_best",
    "read_choice",
    "read_journal",
    "read_state",
    "repetitions",
    "replay",
    "require_sound",
    "summarize",
    "trained",
    "unfinished",
    "usable",
    "verdict",
    "versions",
    "wall_seconds",
    "why_unconfirmed",
    "with_settings",
    "write_results",
]
