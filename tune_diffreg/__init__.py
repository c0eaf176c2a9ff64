"""Find the regularisation with which a diffusion model generalises from few images."""

__version__ = "0.1.0"
