"""Settings that a search may vary without any effect, or such that its trials do not compare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tune_diffreg.study.sections import TrialConfig
from tune_diffreg.study.space import Distribution, value_at

Space = dict[str, Distribution]

_MOVES_OR_COLORS = tuple(
    f"augmentation.{name}"
    for name in ("horizontal_flip", "translate", "crop", "rotate", "color_jitter", "brightness",
                 "contrast", "saturation", "hue")
)  # fmt: skip
_LOSSES = ("validation_loss", "train_loss")
_WHAT_LOSSES_MEAN = ("diffusion.schedule.", "diffusion.prediction_type", "diffusion.timesteps")


def require_effect(config: TrialConfig, space: Space, objective: str) -> None:
    """Checks that every searched setting can change a score, and that the scores compare.

    Raises:
        ValueError: one cannot, or they do not.
    """

    def may(path: str, is_on: Callable[[Any], bool]) -> bool:
        values = space[path].extremes() if path in space else [value_at(config, path)]
        return any(is_on(value) for value in values)

    colored = config.model.in_channels == 3
    needs = {
        "augmentation.hue": (colored, "images in colour (model.in_channels 3)"),
        "augmentation.saturation": (colored, "images in colour (model.in_channels 3)"),
        "augmentation.conditional": (
            any(may(path, bool) for path in _MOVES_OR_COLORS), "augmentation"),
        "diffusion.min_snr_gamma": (
            may("diffusion.loss_weighting", lambda v: v == "min_snr"), "loss_weighting min_snr"),
        "diffusion.schedule.blend": (
            may("diffusion.schedule.name", lambda v: v == "hybrid"), "the hybrid schedule"),
        "regularization.depth_profile": (
            may("regularization.stochastic_depth", bool), "stochastic_depth above 0"),
    }  # fmt: skip
    for path, (effective, need) in needs.items():
        if path in space and not effective:
            raise ValueError(f"search.space.{path} has no effect without {need}")
    if objective in _LOSSES:
        for path in space:
            if path.startswith(_WHAT_LOSSES_MEAN):
                raise ValueError(
                    f"objective.metric {objective} does not compare trials that differ in {path}"
                )
