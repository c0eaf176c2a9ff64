"""The model card of an export, in the Markdown that model hubs read."""

from __future__ import annotations

import yaml

from tune_diffreg.production.sampler import other_sampler
from tune_diffreg.results import Best
from tune_diffreg.results.verdict import interval
from tune_diffreg.words import score, score_name

_KNOBS = (
    "regularization", "augmentation", "optimizer", "diffusion", "training",
)  # fmt: skip
_USE = """```python
import torch
from diffusers import DDPMPipeline

pipeline = DDPMPipeline.from_pretrained("pipeline")
seeds = [torch.Generator().manual_seed(i) for i in range({first}, {last})]
images = pipeline(batch_size=16, generator=seeds, num_inference_steps={steps}).images
```"""


def model_card(best: Best, loads_in_diffusers: bool) -> str:
    """What the model is, how it scored, how sure that is, and what it copies."""
    front = {
        "library_name": "diffusers" if loads_in_diffusers else "pytorch",
        "pipeline_tag": "unconditional-image-generation",
        "tags": ["diffusers", "ddpm", "unconditional-image-generation", "tune-diffreg"],
    }
    size, channels = best.config.model.sample_size, best.config.model.in_channels
    parts = [
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---",
        f"# {best.study}: {best.trial_id}",
        f"A denoising diffusion model of {size}×{size} images with {channels} "
        f"channel{'s' if channels > 1 else ''}, trained on {best.config.data.train:,} images "
        f"({best.config.training.images:,} images seen), with the regularisation that "
        "tune-diffreg chose.",
        "## Scores",
        *_unusable(best),
        _scores(best),
        *_confirmed(best),
        "## What it copies",
        _copies(best.result.scores),
        "## Use",
        _use(best)
        if loads_in_diffusers
        else "Load `pipeline/model.safetensors` into the module "
        f"that `{best.config.model.factory}` makes.",
        *filter(None, [other_sampler(best.config)]),
        "## How it was trained",
        f"```yaml\n{_settings(best)}```",
        "`best.yaml` has all settings; stochastic depth, dropout of attention, augmentation and "
        "the average of the weights are not in the pipeline, which needs none of them.",
        "## Where it comes from",
        "\n".join(f"- {key}: `{value}`" for key, value in best.provenance.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _scores(best: Best) -> str:
    names = [best.result.metric, "validation_loss", "loss_gap"]
    told = {n: best.result.scores[n] for n in dict.fromkeys(names) if n in best.result.scores}
    rows = [f"| {score_name(name)} | {score(name, value)} |" for name, value in told.items()]
    head = f"| {best.result.samples} samples against the {best.result.split} split | |\n|---|---|"
    return "\n".join([head, *rows])


def _unusable(best: Best) -> list[str]:
    if best.usable:
        return []
    where = " on fresh seeds" if best.confirmation is not None else ""
    return [f"**It breaks a constraint of its study{where}: do not use it as it is.**"]


def _confirmed(best: Best) -> list[str]:
    confirmation = best.confirmation
    if confirmation is None:
        return [best.unconfirmed or "These are of one training seed; nothing was confirmed."]
    rows, told = [], confirmation.get("verdict")
    for name, found in confirmation["scores"].items():
        rows.append(f"| {score_name(name)} | {interval(name, found)} |")
    head = (
        f"| confirmed on {confirmation['seeds']} fresh seeds and the {confirmation['split']} "
        "split, mean and 95 % interval | |\n|---|---|"
    )
    return ["\n".join([head, *rows]), *([" ".join(told)] if told else [])]


def _copies(scores: dict[str, float]) -> str:
    name, chance = "memorized_fraction", "heldout_memorized_fraction"
    return (
        f"{score(name, scores.get(name))} of its samples count as copies of a training image "
        f"(nearest less than a third as far as the second nearest); of real images that were not "
        f"trained on, {score(name, scores.get(chance))} do."
    )


def _use(best: Best) -> str:
    first = best.config.evaluation.latents
    return _USE.format(first=first, last=first + 16, steps=best.config.evaluation.steps)


def _settings(best: Best) -> str:
    config = best.config.model_dump(mode="json", include=set(_KNOBS))
    return yaml.safe_dump(config, sort_keys=False, default_flow_style=None, width=100)
