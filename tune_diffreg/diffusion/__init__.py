"""Training ONE denoiser: schedule, model, regularisation, augmentation, trainer, sampling."""

from tune_diffreg.diffusion.branches import Branch
from tune_diffreg.diffusion.network import Network
from tune_diffreg.diffusion.parallel import WHOLE, Part
from tune_diffreg.diffusion.rehearsal import check_model, check_models
from tune_diffreg.diffusion.sampling import latents, sample, sampling_scheduler
from tune_diffreg.diffusion.schedule import ddim_scheduler
from tune_diffreg.diffusion.trainer import Diverged, Trainer

__all__ = [
    "WHOLE",
    "Branch",
    "Diverged",
    "Network",
    "Part",
    "Trainer",
    "check_model",
    "check_models",
    "ddim_scheduler",
    "latents",
    "sample",
    "sampling_scheduler",
]
