"""What leaves a study: the card, the arguments of diffusers' script, and a narrower study."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import tiny_study
from tune_diffreg.errors import InputError
from tune_diffreg.production import diffusers_arguments, narrow
from tune_diffreg.production.card import model_card
from tune_diffreg.results import Best, RungReport, TrialRecord
from tune_diffreg.results.best_config import best_config
from tune_diffreg.study import Study

VALUES = {
    "regularization.residual_dropout": 0.45,
    "regularization.attention_dropout": 0.05,
    "regularization.stochastic_depth": 0.0,
    "augmentation.translate": 0.125,
    "augmentation.color_jitter": 0.02,
    "optimizer.weight_decay": 0.01,
    "optimizer.clip_norm": None,
    "diffusion.schedule.name": "sigmoid",
}
SCORES = {"fd_digits_cnn": 44.8, "memorized_fraction": 0.004, "heldout_memorized_fraction": 0.002}


def found(study: Study, **more: object) -> Best:
    record = TrialRecord(
        "t0007", VALUES, state="complete", reports=[RungReport(1280, 3.0, SCORES, "complete")]
    )
    return Best.model_validate({**best_config(study, record, {"data_sha256": "ab"}), **more})


def test_the_narrow_study_begins_with_what_was_found_and_stays_inside_the_space() -> None:
    study = tiny_study()
    narrowed = narrow(found(study), Path("best.yaml"), train=64, images=2560)
    assert narrowed.name == "digits-narrow"
    assert narrowed.data.train == 64
    assert narrowed.training.images == 2560
    assert narrowed.regularization.residual_dropout == 0.45
    assert narrowed.diffusion.schedule.name == "sigmoid"
    assert narrowed.search.baselines == {"found": {}}
    for path, distribution in narrowed.search.space.items():
        wide = study.search.space[path]
        assert distribution.choices is None
        assert wide.low <= distribution.low <= VALUES[path] <= distribution.high <= wide.high
        assert distribution.log == wide.log
    # Neither choices nor what has no effect under them is searched again.
    assert "optimizer.clip_norm" not in narrowed.search.space
    assert "diffusion.schedule.blend" not in narrowed.search.space
    dropout = narrowed.search.space["regularization.residual_dropout"]
    assert (dropout.low, dropout.high) == (0.387, 0.5)


def test_a_best_file_without_its_search_cannot_be_narrowed() -> None:
    with pytest.raises(InputError, match="does not say what was searched"):
        narrow(found(tiny_study(), search=None), Path("best.yaml"), None, None)


def test_the_arguments_name_what_the_script_cannot_express() -> None:
    given, lost = diffusers_arguments(found(tiny_study()).config)
    assert given[given.index("--adam_weight_decay") + 1] == "0.01"
    assert given[given.index("--num_epochs") + 1] == "40"
    assert "--ddpm_beta_schedule" not in given
    told = " ".join(lost)
    assert "diffusion.schedule sigmoid" in told
    assert "regularization.residual_dropout 0.45" in told
    assert "augmentation.translate 0.125" in told
    assert "optimizer.clip_norm None (the script clips at 1)" in told
    assert "regularization.stochastic_depth" not in told
    # What it does in its own way, read in the script; its beta1 is 0.95 unless told.
    assert given[given.index("--adam_beta1") + 1] == "0.9"
    assert {"--center_crop", "--use_ema"} <= set(given)
    assert "model.in_channels 1 (the script makes every image RGB)" in told
    assert "the script decays norms and biases too" in told
    assert "the warm-up of the average" in told
    assert "training.precision auto" in told
    half, _ = diffusers_arguments(tiny_study("training.precision=bf16"))
    assert half[half.index("--mixed_precision") + 1] == "bf16"
    plain, _ = diffusers_arguments(tiny_study("augmentation.horizontal_flip=0.5"))
    assert "--random_flip" in plain
    assert plain[plain.index("--ddpm_beta_schedule") + 1] == "squaredcos_cap_v2"


def test_the_card_has_what_a_hub_reads_and_says_what_is_copied() -> None:
    card = model_card(found(tiny_study()), loads_in_diffusers=True)
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "diffusers"
    assert "0.4% of its samples count as copies" in text
    assert "trained on, 0.2% do" in text
    assert "nothing was confirmed" in text
    confirmed = {
        "split": "test", "samples": 80, "seeds": 3, "improves": True, "best_baseline": "t0000",
        "scores": {"fd_digits_cnn": {"mean": 46.0, "low": 44.0, "high": 48.0}},
        "verdict": ["It is as good as this sentence."],
    }  # fmt: skip
    text = model_card(found(tiny_study(), confirmation=confirmed), loads_in_diffusers=True)
    assert "46.0 ± 2.0" in text
    assert "It is as good as this sentence." in text
