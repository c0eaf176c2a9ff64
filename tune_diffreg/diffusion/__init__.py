"""Training ONE denoiser: schedule, model, regularisation, augmentation, trainer, sampling."""

from tune_diffreg.diffusion.loss import denoising_loss
from tune_diffreg.diffusion.sampling import latents, sample
from tune_diffreg.diffusion.schedule import ddim_scheduler
from tune_diffreg.diffusion.trainer import Diverged, Trainer

__all__ = ["Diverged", "Trainer", "ddim_scheduler", "denoising_loss", "latents", "sample"]
