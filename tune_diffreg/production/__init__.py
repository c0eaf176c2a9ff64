"""Handing over: the best configuration as files, and its training outside a search."""

from tune_diffreg.production.export import export, save_pipeline
from tune_diffreg.production.train import train

__all__ = ["export", "save_pipeline", "train"]
