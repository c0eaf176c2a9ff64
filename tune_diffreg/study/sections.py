"""The complete configuration of one training: every setting, its limits and its default.

`docs/study-file.md` is generated from the descriptions here and in the other modules of this room.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from tune_diffreg.study import scores
from tune_diffreg.study.settings import Channels, Factory, Images, Seed, Settings, list_to_tuple
from tune_diffreg.study.training import (
    Augmentation,
    Diffusion,
    Optimizer,
    Regularization,
    Training,
)


class Data(Settings):
    source: Literal["digits", "cifar10", "image_folder"] = Field(
        description="where the images come from"
    )
    path: str | None = Field(
        None, description="folder of the images (image_folder) or of the downloaded set (cifar10)"
    )
    cache: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="image_folder only: file to keep the resized images in; they are read from it "
        "as they are needed, so that a set may be larger than memory; null keeps them in memory",
    )
    train: Images = Field(description="number of training images")
    validation: Images = Field(description="number of images that the search is scored against")
    test: Images = Field(description="number of images that the search never sees")
    seed: Seed = Field(0, description="which images go into which split")

    @model_validator(mode="after")
    def _path_where_needed(self) -> Self:
        if self.source != "digits" and self.path is None:
            raise ValueError(f"source {self.source!r} needs 'path', the folder that holds it")
        if self.cache is not None and self.source != "image_folder":
            raise ValueError(f"source {self.source!r} is in memory anyway and takes no 'cache'")
        return self


_OF_THE_UNET = (
    "block_out_channels", "down_block_types", "up_block_types", "layers_per_block",
    "attention_head_dim", "norm_num_groups",
)  # fmt: skip


class Model(Settings):
    """Arguments of diffusers' `UNet2DModel`, by its own names, or a model of one's own."""

    in_channels: Literal[1, 3] = Field(description="1 for grayscale, 3 for RGB")
    sample_size: int = Field(ge=4, le=8192, description="side of the square images, pixels")
    block_out_channels: Annotated[tuple[Channels, ...], BeforeValidator(list_to_tuple)] = Field(
        (),
        max_length=12,
        description="channels at each resolution, finest first; required without a factory",
    )
    down_block_types: Annotated[
        tuple[Literal["DownBlock2D", "AttnDownBlock2D"], ...], BeforeValidator(list_to_tuple)
    ] = Field((), description="one a resolution, finest first; required without a factory")
    up_block_types: Annotated[
        tuple[Literal["UpBlock2D", "AttnUpBlock2D"], ...], BeforeValidator(list_to_tuple)
    ] = Field((), description="one a resolution, coarsest first; required without a factory")
    layers_per_block: int = Field(2, ge=1, le=64, description="residual blocks at each resolution")
    attention_head_dim: Channels = Field(8, description="channels of an attention head")
    norm_num_groups: Channels = Field(32, description="groups of the group normalisation")
    factory: Factory | None = Field(
        None,
        description="package.module:function that is called with in_channels, sample_size and "
        "`arguments` and returns the model; none of the U-Net's keys goes with it",
    )
    arguments: dict[str, Any] = Field(
        default_factory=dict,
        description="keyword arguments of the factory; a baseline may set them as a whole",
    )

    @property
    def unet_arguments(self) -> dict[str, Any]:
        """What `UNet2DModel` is built with."""
        return self.model_dump(exclude={"factory", "arguments"})

    @model_validator(mode="after")
    def _unet_or_factory(self) -> Self:
        if self.factory is None:
            if self.arguments:
                raise ValueError("arguments are those of a factory, and there is no factory")
            return self._require_fitting_shapes()
        for key in _OF_THE_UNET:
            if getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is the U-Net's; a factory takes `arguments`")
        return self

    def _require_fitting_shapes(self) -> Self:
        levels = len(self.block_out_channels)
        if not levels or {len(self.down_block_types), len(self.up_block_types)} != {levels}:
            raise ValueError(
                "block_out_channels, down_block_types and up_block_types must be of one length"
            )
        if self.sample_size % 2 ** (levels - 1):
            raise ValueError(
                f"sample_size {self.sample_size} cannot be halved {levels - 1} times; "
                f"use a multiple of {2 ** (levels - 1)}"
            )
        for channels in self.block_out_channels:
            if channels % self.norm_num_groups:
                raise ValueError(
                    f"block_out_channels {channels} must be a multiple of norm_num_groups "
                    f"({self.norm_num_groups})"
                )
        for channels in self._attended():
            if channels % self.attention_head_dim:
                raise ValueError(
                    f"block_out_channels {channels}, where there is attention, must be a multiple "
                    f"of attention_head_dim ({self.attention_head_dim})"
                )
        return self

    def _attended(self) -> set[int]:
        """Channels of the levels with attention; the innermost one always has it."""
        down = zip(self.block_out_channels, self.down_block_types, strict=True)
        up = zip(reversed(self.block_out_channels), self.up_block_types, strict=True)
        found = {channels for channels, kind in (*down, *up) if kind.startswith("Attn")}
        return found | {self.block_out_channels[-1]}


class Extractor(Settings):
    """A feature extractor of one's own."""

    factory: Factory = Field(
        description="package.module:function that returns the network; the scores bear the "
        "function's name, which must be none of digits_cnn, inception, dinov2, clip and pixels"
    )

    @property
    def name(self) -> str:
        return self.factory.split(":")[1]


BuiltIn = Literal["digits_cnn", "inception", "dinov2", "clip", "pixels"]


class Evaluation(Settings):
    features: BuiltIn | Extractor = Field(
        description="feature extractor of the Fréchet distance; or {factory: "
        "'package.module:function'}, which returns a torch.nn.Module from images (N, C, H, W) "
        "uint8 to features (N, D)"
    )
    weights: str | None = Field(
        None,
        description="inception, dinov2, clip: file of the weights; null looks in torch hub's cache",
    )
    neighbors: Literal["pixels", "features"] = Field(
        "pixels", description="what memorisation measures distances to training images in"
    )
    samples: int = Field(512, ge=10, le=10_000_000, description="images generated for a score")
    rung_samples: Annotated[int, Field(ge=10)] | None = Field(
        None, description="at most so many at rungs before the last; null: as many"
    )
    sampler: Literal["ddim", "dpmsolver++", "heun"] = Field(
        "ddim", description="deterministic sampler; heun calls the network twice a step"
    )
    steps: int = Field(20, ge=1, le=10_000, description="steps of the sampler")
    latents: Seed = Field(0, description="generated image i starts from seed `latents` + i")

    @model_validator(mode="after")
    def _weights_where_they_are_read(self) -> Self:
        if self.weights is not None and self.features not in ("inception", "dinov2", "clip"):
            raise ValueError(f"features {self.feature_name!r} takes no 'weights'")
        return self

    @model_validator(mode="after")
    def _no_network_stands_in_for_another(self) -> Self:
        if isinstance(self.features, Extractor) and self.features.name in get_args(BuiltIn):
            raise ValueError(
                f"features {self.features.factory}: scores bear the function's name, and those of "
                f"{self.features.name!r} are of the features of that name; call it otherwise"
            )
        return self

    @property
    def samples_at_rungs(self) -> int:
        """Images generated at a rung before the last."""
        return min(self.rung_samples or self.samples, self.samples)

    @property
    def feature_name(self) -> str:
        """What the scores that depend on the extractor are named after."""
        return self.features if isinstance(self.features, str) else self.features.name


def spaced(timesteps: int, steps: int) -> bool:
    """Whether diffusers spreads just so many steps over the timesteps.

    By rounding, its trailing spacing has one step more for some numbers, 61 of 1000 for one, which
    begins at timestep -1, below the first, and replaces what was generated.
    """
    return math.ceil(timesteps / (timesteps / steps)) == steps  # as numpy.arange counts


class TrialConfig(Settings):
    """The complete configuration of one training."""

    data: Data
    model: Model
    diffusion: Diffusion = Field(default_factory=Diffusion)
    regularization: Regularization = Field(default_factory=Regularization)
    augmentation: Augmentation = Field(default_factory=Augmentation)
    optimizer: Optimizer = Field(default_factory=Optimizer)
    training: Training
    evaluation: Evaluation

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        about_digits = self.data.source == "digits" or self.evaluation.features == "digits_cnn"
        if about_digits and (self.model.in_channels, self.model.sample_size) != (1, 8):
            raise ValueError(
                "the digits are 8x8 grayscale: data.source 'digits' and evaluation.features "
                "'digits_cnn' need model.in_channels 1 and model.sample_size 8"
            )
        if self.data.source == "cifar10" and self.model.in_channels != 3:
            raise ValueError("cifar10 is RGB: data.source 'cifar10' needs model.in_channels 3")
        steps, timesteps = self.evaluation.steps, self.diffusion.timesteps
        if self.evaluation.sampler == "ddim" and timesteps % steps:
            raise ValueError(
                f"evaluation.steps {steps} must divide diffusion.timesteps {timesteps}"
            )
        if steps > timesteps:
            raise ValueError(
                f"evaluation.steps {steps} is more than diffusion.timesteps {timesteps}"
            )
        if not spaced(timesteps, steps):
            raise ValueError(
                f"evaluation.steps {steps} cannot be spread over diffusion.timesteps {timesteps} "
                "by diffusers; take one more or less"
            )
        return self

    def samples_at(self, images_seen: int) -> int:
        """Images generated for a score after so many images seen: scores at others are apart."""
        ended = images_seen >= self.training.images
        return self.evaluation.samples if ended else self.evaluation.samples_at_rungs

    @property
    def factories(self) -> dict[str, str]:
        """The functions that this configuration names, by setting; using it runs them."""
        found = {"model.factory": self.model.factory}
        if isinstance(self.evaluation.features, Extractor):
            found["evaluation.features.factory"] = self.evaluation.features.factory
        return {key: factory for key, factory in found.items() if factory is not None}

    @property
    def distance(self) -> str:
        """Name of the Fréchet distance: `fid` is reserved for Inception's features."""
        return scores.distance(self.evaluation.feature_name)
