"""The study file: what a user may write, read and validated. Imports no other room."""

from tune_diffreg.study.file import parse_overrides, read_study, read_yaml
from tune_diffreg.study.objective import Bound, Objective
from tune_diffreg.study.search import Confirmation, Halving, Resources, Search
from tune_diffreg.study.sections import Data, Evaluation, Extractor, Model, TrialConfig
from tune_diffreg.study.space import Distribution, override
from tune_diffreg.study.study import Study
from tune_diffreg.study.training import (
    Augmentation,
    Diffusion,
    Optimizer,
    Regularization,
    Schedule,
    Training,
)

__all__ = [
    "Augmentation",
    "Bound",
    "Confirmation",
    "Data",
    "Diffusion",
    "Distribution",
    "Evaluation",
    "Extractor",
    "Halving",
    "Model",
    "Objective",
    "Optimizer",
    "Regularization",
    "Resources",
    "Schedule",
    "Search",
    "Study",
    "Training",
    "TrialConfig",
    "override",
    "parse_overrides",
    "read_study",
    "read_yaml",
]
