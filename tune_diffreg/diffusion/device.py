"""The device of a trial: its share of the memory, and what is said where that is too little."""

from __future__ import annotations

import gc

import torch

from tune_diffreg.study import Resources, TrialConfig

OF_SHARE = 0.9
"""Part of its share of a GPU that a trial's tensors may take; its CUDA context takes the rest."""

# Not every library raises PyTorch's own error; what others say of it.
_SIGNS = ("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")


def device_for(resources: Resources) -> torch.device:
    """The GPU that this process may use, if the study asks for one; else the CPU."""
    return torch.device("cuda" if resources.gpu > 0 else "cpu")


def any_device() -> torch.device:
    """A GPU where there is one, for what runs by itself on this machine."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def bound_memory(resources: Resources) -> None:
    """Lets this process take no more of its GPU than the trial's share, so that others fit."""
    if 0 < resources.gpu < 1:
        torch.cuda.set_per_process_memory_fraction(OF_SHARE * resources.gpu)


def device_memory(device: torch.device) -> int:
    """Bytes of the device that this process may take; 0 for a CPU."""
    if device.type != "cuda":
        return 0
    whole = torch.cuda.get_device_properties(device).total_memory
    return int(whole * torch.cuda.get_per_process_memory_fraction(device))


def free_memory() -> None:
    """Gives back what nothing needs any more; hooks keep their modules in cycles until then."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the device's memory was too little."""
    said = str(error)
    return isinstance(error, torch.OutOfMemoryError) or any(sign in said for sign in _SIGNS)


def does_not_fit(config: TrialConfig, resources: Resources, images: int, scoring: bool) -> str:
    """What to do where a trial ran out of the device's memory after `images` seen."""
    when = "while it was scored" if scoring else "in training"
    # Scores are taken in batches that the size of the images sets.
    less = "a smaller model" if scoring else "a smaller batch"
    return (
        f"out of memory on the device {when}, by {images:,} images seen: with training.batch_size "
        f"{config.training.batch_size} it does not fit into its share of a GPU (resources.gpu "
        f"{resources.gpu:g}); pack fewer on one, or choose {less}"
    )
