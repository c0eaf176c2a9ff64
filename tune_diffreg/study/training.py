"""How one denoiser is trained: noise, regularisation, augmentation, optimiser, length.

`docs/study-file.md` is generated from the descriptions here, in `sections.py` and in `study.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tune_diffreg.study.settings import Fraction, Images, Seed, Settings, list_to_tuple

Decay = Annotated[float, Field(ge=0, lt=1)]


def _decays(value: Any) -> Any:
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise ValueError("is an empty list; give one decay or several")
    for decay in values:
        if isinstance(decay, bool) or not isinstance(decay, int | float) or not 0 <= decay < 1:
            raise ValueError(f"each decay must be at least 0 and below 1, found {decay!r}")
    if len(set(values)) < len(values):
        raise ValueError(f"the decays must differ, found {values!r}")
    return list_to_tuple(value)


class Schedule(Settings):
    name: Literal["linear", "cosine", "sigmoid", "hybrid"] = Field(
        "cosine", description="noise schedule; hybrid blends linear and cosine in log-SNR"
    )
    blend: Fraction = Field(0.5, description="hybrid only: 0 is linear, 1 is cosine")
    shift: float = Field(
        0.0,
        ge=-4,
        le=4,
        description="added to log-SNR at every step; below 0 there is more noise, as larger images "
        "need (2 ln(64/side) in simple diffusion, Hoogeboom et al. 2023)",
    )


class Diffusion(Settings):
    timesteps: int = Field(1000, ge=4, le=10_000, description="steps of the forward process")
    prediction_type: Literal["epsilon", "v_prediction"] = Field(
        "epsilon", description="what the network predicts"
    )
    schedule: Schedule = Field(default_factory=Schedule)
    loss_weighting: Literal["uniform", "min_snr"] = Field(
        "uniform",
        description="of the training loss over noise levels; min_snr after Hang et al. 2023",
    )
    min_snr_gamma: Annotated[float, Field(gt=0)] = Field(
        5.0, description="min_snr only: SNR above which a noise level is weighted down"
    )


class Regularization(Settings):
    residual_dropout: float = Field(0.0, ge=0, lt=1, description="dropout in residual blocks")
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="dropout on attention outputs")
    attention_weight_dropout: float = Field(
        0.0, ge=0, lt=1, description="dropout on attention weights"
    )
    stochastic_depth: Fraction = Field(
        0.0, description="probability that an image skips a residual branch"
    )
    depth_profile: Literal["constant", "linear"] = Field(
        "constant",
        description="stochastic depth of the branches: the same, or growing from the first to the "
        "last, which has the probability given",
    )


class Augmentation(Settings):
    horizontal_flip: Fraction = Field(0.0, description="probability of a mirror image")
    translate: float = Field(
        0.0, ge=0, le=0.5, description="largest shift, as a fraction of the side (whole pixels)"
    )
    crop: float = Field(
        0.0, ge=0, le=0.9, description="largest part of the side that a random crop removes"
    )
    rotate: float = Field(0.0, ge=0, le=180, description="largest turn, degrees")
    color_jitter: Fraction = Field(
        0.0, description="strength of brightness, contrast and (RGB) saturation changes alike"
    )
    brightness: Fraction = Field(0.0, description="strength of brightness changes, on top")
    contrast: Fraction = Field(0.0, description="strength of contrast changes, on top")
    saturation: Fraction = Field(0.0, description="strength of saturation changes (RGB), on top")
    hue: float = Field(0.0, ge=0, le=0.5, description="largest turn of the colours (RGB), in turns")
    probability: Fraction = Field(
        1.0, description="that an image is given each of the above, mirroring aside"
    )
    conditional: bool = Field(
        False,
        description="tells the network what was done to each image, so that it need not learn to "
        "generate it; sampling asks for images as they are",
    )


class Optimizer(Settings):
    learning_rate: float = Field(1e-3, gt=0, le=1, description="AdamW's peak learning rate")
    weight_decay: float = Field(
        0.0, ge=0, le=100, description="AdamW's decay, on weight matrices and kernels alone"
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        1.0, description="largest norm of the gradient; null clips nothing"
    )
    warmup: int = Field(
        0, ge=0, le=10**15, description="images seen while the learning rate rises from 0"
    )


class Training(Settings):
    batch_size: Images = Field(
        32,
        description="images a step; a training ends with a whole batch; one that is larger than "
        "the training split has some images twice",
    )
    images: Images = Field(description="full length of a training, in images seen")
    ema: Annotated[Decay | tuple[Decay, ...], BeforeValidator(_decays)] = Field(
        0.999,
        description="decay a step of the averaged weights; of several, that with the lowest "
        "validation loss is taken at each report",
    )
    seed: Seed = Field(0, description="initial weights and every draw of the training")
    precision: Literal["auto", "fp32", "bf16"] = Field(
        "auto", description="of the network alone; auto: bf16 on a GPU, fp32 on a CPU"
    )
    compile: bool | None = Field(
        None, description="torch.compile with CUDA graphs; null: on a GPU, not on a CPU"
    )

    @property
    def decays(self) -> tuple[float, ...]:
        """The EMA decays, at least one."""
        return self.ema if isinstance(self.ema, tuple) else (self.ema,)
