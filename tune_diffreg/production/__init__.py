"""Handing over: the chosen configuration as files, and its training outside a search."""

from tune_diffreg.production.arguments import diffusers_arguments
from tune_diffreg.production.export import export, save_pipeline
from tune_diffreg.production.narrow import narrow

__all__ = ["diffusers_arguments", "export", "narrow", "save_pipeline"]
