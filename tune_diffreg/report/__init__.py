"""Showing: one self-contained page a study."""

from tune_diffreg.report.page import write_report

__all__ = ["write_report"]
