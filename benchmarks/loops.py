"""Training loops side by side, each a function that trains some steps and waits for the device.

All train on the same images with one batch size, precision and, but for the last, one model.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import torch
from torch import nn

from tune_diffreg.data import MappedImages
from tune_diffreg.data.cache import cached
from tune_diffreg.diffusion import Trainer
from tune_diffreg.diffusion.model import build_model
from tune_diffreg.images import Images
from tune_diffreg.study import TrialConfig

Loop = Callable[[int], None]
"""Trains so many steps and returns once the device is done."""


@dataclass(frozen=True)
class Setting:
    """What all loops have in common.

    Attributes:
        images: `(N, C, H, W) uint8`.
        scratch: a folder to write in.
    """

    config: TrialConfig
    images: torch.Tensor
    device: torch.device
    scratch: Path

    @property
    def batch_size(self) -> int:
        return self.config.training.batch_size

    @property
    def bf16(self) -> bool:
        return self.device.type == "cuda"

    def wait(self) -> None:
        wait_for(self.device)


def wait_for(device: torch.device) -> None:
    """Returns once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ours(setting: Setting) -> Loop:
    """The trial's own loop, images held on the device."""
    return _of_trainer(setting, setting.images)


def ours_streamed(setting: Setting) -> Loop:
    """The same, images streamed from a file that is mapped."""
    path = setting.scratch / "images.u8"
    shape = tuple(setting.images.shape)
    cached(path, "random images", shape, setting.images)
    return _of_trainer(setting, _TooLarge(path, "random images", shape))


def ours_with_averages(setting: Setting) -> Loop:
    """The same, with averages of five lengths kept beside the weights."""
    longer = {"ema": (0.9, 0.99, 0.995, 0.999, 0.9995)}
    training = setting.config.training.model_copy(update=longer)
    config = setting.config.model_copy(update={"training": training})
    return _of_trainer(replace(setting, config=config), setting.images)


class _TooLarge(MappedImages):
    """Images that no device is said to hold."""

    @property
    def nbytes(self) -> int:
        return 2**62


def _of_trainer(setting: Setting, images: Images) -> Loop:
    trainer = Trainer(setting.config, images, setting.device)

    def run(steps: int) -> None:
        for _ in range(steps):
            trainer.step()
        trainer.check_finite()

    return run


def diffusers_example(setting: Setting) -> Loop:
    """The loop of diffusers' `train_unconditional` example, from what its README documents.

    A DataLoader over pictures that are transformed when they are asked for (resize, centre crop,
    mirror, to tensor, normalise), `DDPMScheduler.add_noise`, mean squared error, clipping at 1,
    AdamW with a cosine rate, `EMAModel`, and the loss shown after every step. Its pictures are
    decoded beforehand here, which spares it time.
    """
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms
    from torchvision.transforms.functional import to_pil_image

    side = setting.images.shape[-1]
    prepare = transforms.Compose(
        [
            transforms.Resize(side, interpolation=transforms.InterpolationMode.BILINEAR),
            transforms.CenterCrop(side),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5], [0.5]),
        ]
    )
    pictures = [to_pil_image(image) for image in setting.images]

    class Pictures(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(pictures)

        def __getitem__(self, index: int) -> torch.Tensor:
            prepared: torch.Tensor = prepare(pictures[index])
            return prepared

    model = build_model(setting.config.model, seed=0).to(setting.device).train()
    average = EMAModel(model.parameters(), decay=0.9999, use_ema_warmup=True)
    average.to(setting.device)
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
    )
    rate = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=10**6)
    loader = DataLoader(Pictures(), batch_size=setting.batch_size, shuffle=True, drop_last=True)

    def step(clean: torch.Tensor) -> None:
        clean = clean.to(setting.device)
        noise = torch.randn(clean.shape, device=setting.device)
        timesteps = torch.randint(0, 1000, (len(clean),), device=setting.device).long()
        noisy = scheduler.add_noise(clean, noise, timesteps)
        with torch.autocast(setting.device.type, torch.bfloat16, enabled=setting.bf16):
            predicted = model(noisy, timesteps).sample
        loss = nn.functional.mse_loss(predicted.float(), noise.float())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
        average.step(model.parameters())
        loss.detach().item()  # what its progress bar shows

    def run(steps: int) -> None:
        done = 0
        while done < steps:
            for clean in loader:
                step(clean)
                done += 1
                if done == steps:
                    break
        setting.wait()

    return run


def lucidrains(setting: Setting) -> Loop:
    """`Trainer` of `denoising-diffusion-pytorch`, its U-Net with about as many weights as ours."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Trainer, Unet
    from torchvision.io import write_png

    folder = Path(tempfile.mkdtemp(dir=setting.scratch))
    for index, image in enumerate(setting.images):
        write_png(image, str(folder / f"{index:05}.png"))
    _, channels, side, _ = setting.images.shape
    levels = len(setting.config.model.block_out_channels)
    wanted = parameters(build_model(setting.config.model, seed=0))
    multiples = tuple(2 ** min(level, 1) for level in range(levels))
    widths = itertools.count(8, 2)
    candidates = [Unet(dim=next(widths), dim_mults=multiples, channels=channels)]
    while parameters(candidates[-1]) < wanted:
        candidates.append(Unet(dim=next(widths), dim_mults=multiples, channels=channels))
    unet = min(candidates[-2:], key=lambda model: abs(parameters(model) - wanted))
    trainer = Trainer(
        GaussianDiffusion(unet, image_size=side, timesteps=1000, objective="pred_noise"),
        str(folder),
        train_batch_size=setting.batch_size,
        save_and_sample_every=10**9,
        results_folder=str(setting.scratch / "results"),
        amp=setting.bf16,
        mixed_precision_type="bf16",
        calculate_fid=False,
        max_grad_norm=1.0,
    )

    def run(steps: int) -> None:
        trainer.train_num_steps = trainer.step + steps
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):  # its bar for every turn
            trainer.train()
        setting.wait()

    return run


def parameters(model: nn.Module) -> int:
    """How many weights a model has."""
    return sum(parameter.numel() for parameter in model.parameters())


LOOPS: dict[str, Callable[[Setting], Loop]] = {
    "ours": ours,
    "ours, streamed from a file": ours_streamed,
    "ours, with five averages": ours_with_averages,
    "diffusers train_unconditional": diffusers_example,
    "denoising-diffusion-pytorch": lucidrains,
}
