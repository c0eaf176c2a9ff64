"""What a person sees on the terminal while a study runs, and when it is over."""

from tune_diffreg.terminal.bars import bars
from tune_diffreg.terminal.live import Display, main_scores, open_display
from tune_diffreg.terminal.status import status_table
from tune_diffreg.terminal.tables import (
    comparison_table,
    confirmation_table,
    judgement_table,
    plan_table,
    repeat_table,
    result_table,
    studies_table,
    trials_table,
)

__all__ = [
    "Display",
    "bars",
    "comparison_table",
    "confirmation_table",
    "judgement_table",
    "main_scores",
    "open_display",
    "plan_table",
    "repeat_table",
    "result_table",
    "status_table",
    "studies_table",
    "trials_table",
]
