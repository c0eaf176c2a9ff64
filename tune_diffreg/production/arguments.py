"""A configuration as arguments of diffusers' `train_unconditional` example, where they exist."""

from __future__ import annotations

from tune_diffreg.study import TrialConfig

_BETAS = (0.9, 0.999)
"""Of AdamW here, which are torch's defaults."""
_SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}


def diffusers_arguments(config: TrialConfig) -> tuple[list[str], list[str]]:
    """The arguments, and what that script cannot express, a line each."""
    training, optimizer, diffusion = config.training, config.optimizer, config.diffusion
    epochs = max(1, round(training.images / config.data.train))
    given = {
        "--resolution": config.model.sample_size,
        "--train_batch_size": training.batch_size,
        "--num_epochs": epochs,
        "--learning_rate": optimizer.learning_rate,
        "--lr_warmup_steps": -(-optimizer.warmup // training.batch_size),
        "--lr_scheduler": "constant_with_warmup",
        "--adam_weight_decay": optimizer.weight_decay,
        "--adam_beta1": _BETAS[0],  # the script's own default is 0.95
        "--adam_beta2": _BETAS[1],
        "--mixed_precision": "bf16" if training.precision == "bf16" else "no",
        "--ddpm_num_steps": diffusion.timesteps,
        "--ddpm_num_inference_steps": config.evaluation.steps,
        "--ema_max_decay": max(training.decays),
    }
    lost = []
    if diffusion.prediction_type == "epsilon":
        given["--prediction_type"] = "epsilon"
    else:
        lost.append("diffusion.prediction_type v_prediction (the script knows epsilon and sample)")
    schedule = diffusion.schedule
    if schedule.name in _SCHEDULES and not schedule.shift:
        given["--ddpm_beta_schedule"] = _SCHEDULES[schedule.name]
    else:
        lost.append(f"diffusion.schedule {schedule.name}, shift {schedule.shift:g}")
    arguments = [part for name, value in given.items() for part in (name, str(value))]
    arguments += ["--use_ema", "--center_crop"]
    if config.augmentation.horizontal_flip:
        arguments += ["--random_flip"]
    return arguments, [*lost, *_never(config)]


def _never(config: TrialConfig) -> list[str]:
    """Settings in use that the script has no argument for."""
    found = []
    for section in ("regularization", "augmentation"):
        settings = getattr(config, section)
        for name, field in type(settings).model_fields.items():
            value = getattr(settings, name)
            if value != field.default and name != "horizontal_flip":
                found.append(f"{section}.{name} {value}")
    if config.augmentation.horizontal_flip not in (0.0, 0.5):
        found.append(f"augmentation.horizontal_flip {config.augmentation.horizontal_flip:g} "
                     "(the script mirrors half of the images)")  # fmt: skip
    if config.optimizer.clip_norm != 1.0:
        found.append(f"optimizer.clip_norm {config.optimizer.clip_norm} (the script clips at 1)")
    if config.diffusion.loss_weighting != "uniform":
        found.append(f"diffusion.loss_weighting {config.diffusion.loss_weighting}")
    if config.training.precision == "auto":
        found.append("training.precision auto (bf16 on a GPU: --mixed_precision bf16 there)")
    if len(config.training.decays) > 1:
        found.append(
            f"training.ema {', '.join(map(str, config.training.decays))} (the script keeps one "
            "average, that of the largest decay)"
        )
    return [*found, *_otherwise(config)]


def _otherwise(config: TrialConfig) -> list[str]:
    """What the script does in its own way whatever it is told."""
    found = [
        "weight decay of matrices and kernels alone (the script decays norms and biases too)",
        "the warm-up of the average, (1 + steps) / (10 + steps) (the script's is "
        "1 - (1 + steps)^-0.75)",
        f"evaluation.sampler {config.evaluation.sampler} (the script samples with DDPM)",
    ]
    if config.model.in_channels != 3:
        found.append(
            f"model.in_channels {config.model.in_channels} (the script makes every image RGB)"
        )
    if config.model.factory is not None:
        found.append(f"model.factory {config.model.factory} (the script trains a UNet2DModel)")
    else:
        found.append(
            "model: an architecture of the script's own, unless --model_config_name_or_path names "
            "pipeline/unet"
        )
    return found
