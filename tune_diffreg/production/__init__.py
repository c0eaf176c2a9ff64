"""Handing over: the chosen configuration as files, and its training outside a search."""

from tune_diffreg.production.arguments import diffusers_arguments
from tune_diffreg.production.export import export, save_pipeline
from tune_diffreg.production.narrow import as_file, narrow
from tune_diffreg.production.sampler import other_sampler

__all__ = ["as_file", "diffusers_arguments", "export", "narrow", "other_sampler", "save_pipeline"]
