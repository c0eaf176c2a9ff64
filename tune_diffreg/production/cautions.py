"""What is known to move when a training differs from what was tuned."""

from __future__ import annotations

from tune_diffreg.study import TrialConfig
from tune_diffreg.study.space import value_at
from tune_diffreg.words import knob, setting

_OFF = (0.0, None, False)
_REGULARIZING = (
    "regularization.residual_dropout", "regularization.attention_dropout",
    "regularization.attention_weight_dropout", "regularization.stochastic_depth",
    "optimizer.weight_decay", "augmentation.horizontal_flip", "augmentation.translate",
    "augmentation.crop", "augmentation.rotate", "augmentation.color_jitter",
)  # fmt: skip


def cautions(tuned: TrialConfig, now: TrialConfig) -> list[str]:
    """A sentence for each difference that asks for another configuration; none where none does."""
    found = []
    if now.data.train != tuned.data.train:
        found.append(_of_images(tuned, now))
    before, after = (c.training.images / c.data.train for c in (tuned, now))
    if after > before:
        found.append(
            f"each image is seen {after:,.0f} times instead of {before:,.0f}: copying grows with "
            "that; watch the memorised fraction on the way"
        )
    if now.training.batch_size != tuned.training.batch_size:
        found.append(
            f"batches of {now.training.batch_size} instead of {tuned.training.batch_size}: the "
            f"learning rate {setting(now.optimizer.learning_rate)} was tuned for the latter"
        )
    if now.model != tuned.model:
        found.append("another model: a larger one copies sooner, and wants more regularisation")
    if now.data.source != tuned.data.source or now.data.path != tuned.data.path:
        found.append("other images: what is best depends on how alike and how varied they are")
    return found


def _of_images(tuned: TrialConfig, now: TrialConfig) -> str:
    """What another number of training images does to the regularisation that is in use."""
    more = now.data.train > tuned.data.train
    values = {path: value_at(tuned, path) for path in _REGULARIZING}
    in_use = ", ".join(
        f"{knob(path, values)} {setting(value)}"
        for path, value in values.items()
        if value not in _OFF
    )
    return (
        f"{now.data.train:,} training images instead of {tuned.data.train:,} want "
        + ("less regularisation" if more else "more regularisation")
        + (f" than {in_use}" if in_use else "")
    )
