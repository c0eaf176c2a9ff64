"""Reading a study file: what is understood, and one sentence for what is not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import DIGITS, ROOT, tiny_study
from tune_diffreg.errors import InputError
from tune_diffreg.study import Study, read_study
from tune_diffreg.words import constraint


@pytest.mark.parametrize(
    "path", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_study_file_that_we_ship_is_valid(path: Path) -> None:
    assert read_study(path).name == path.stem


def test_the_rungs_are_spaced_by_the_reduction_factor_and_end_at_full_length() -> None:
    assert read_study(DIGITS).rungs() == (1920, 5760, 17280)
    assert read_study(DIGITS, ["halving=null"]).rungs() == (17280,)


def test_set_overrides_a_setting() -> None:
    assert tiny_study("optimizer.learning_rate=1e-4").optimizer.learning_rate == 1e-4
    assert tiny_study("optimizer.clip_norm=null").optimizer.clip_norm is None


def test_set_overrides_what_is_searched_and_what_a_baseline_differs_in() -> None:
    decay, warmup, dropout = (
        "optimizer.weight_decay", "optimizer.warmup", "regularization.residual_dropout",
    )  # fmt: skip
    search = tiny_study(
        f"search.space.{decay}={{low: 0.01, high: 0.1}}",
        f"search.space.{dropout}.high=0.2",
        f"search.space.{warmup}={{choices: [0, 64]}}",
        f"search.baselines.published.{dropout}=0.3",
        f"search.baselines.light.{decay}=0.02",
    ).search
    assert (search.space[decay].low, search.space[decay].high) == (0.01, 0.1)
    assert (search.space[dropout].low, search.space[dropout].high) == (0.0, 0.2)
    assert search.space[warmup].choices == [0, 64]
    assert search.baselines["published"] == {dropout: 0.3}
    assert search.baselines["light"] == {decay: 0.02}


def test_a_study_survives_being_written_and_read() -> None:
    study = read_study(DIGITS)
    assert (
        Study.model_validate(yaml.safe_load(yaml.safe_dump(study.model_dump(mode="json")))) == study
    )


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("search.space.optimizer.decay={low: 0, high: 1}", "no single setting 'optimizer.decay'"),
        ("trainng.images=5", "trainng: there is no such setting; did you mean 'training'?"),
        ("training.imges=5", "training.imges: there is no such setting; did you mean 'images'?"),
        ("training.batch_size=many", "training.batch_size: must be a whole number, found 'many'"),
        ("training.batch_size='32'", "training.batch_size: must be a whole number, found '32'"),
        ("optimizer.learning_rate=-1", "optimizer.learning_rate: input should be greater than 0"),
        ("regularization.residual_dropout=1.5", "should be less than 1, found 1.5"),
        ("data.train=0", "data.train: input should be greater than or equal to 1, found 0"),
        ("data.source=digts", "data.source: input should be 'digits', 'cifar10' or"),
        ("data.source=image_folder", "needs 'path', the folder that holds it"),
        ("search.space={optimizer.clip_norm: {low: 2, high: 1}}", "low 2 is above high 1"),
        ("search.space={optimizer.clip_nrm: {low: 1, high: 2}}", "did you mean 'clip_norm'?"),
        ("search.space={optimizer: {low: 1, high: 2}}", "optimizer is a whole section"),
        ("search.space={data.train: {low: 1, high: 2}}", "must be equal in all trials"),
        (
            "search.space={diffusion.timesteps: {low: 100, high: 1000}}",
            "not every value between low and high fits; give choices",
        ),
        (
            "evaluation={features: digits_cnn, sampler: heun, steps: 61}",
            "evaluation.steps 61 cannot be spread over diffusion.timesteps 1000",
        ),
        (
            "search.space={optimizer.clip_norm: {choices: [tight]}}",
            "must be a number, found 'tight'",
        ),
        ("search.space={optimizer.clip_norm: {low: 1}}", "give low and high, or choices"),
        ("search.space={optimizer.clip_norm: {choices: []}}", "choices is empty"),
        ("search.space={optimizer.weight_decay: {low: 0, high: 1, log: true}}", "low above 0"),
        ("search.space={training.batch_size: {low: 8, high: 64.5}}", "must be a whole number"),
        ("search.space={regularization.residual_dropout: {low: 0, high: 2}}", "less than 1"),
        (
            "search.space={optimizer.clip_norm: {low: 1, high: 2, when: {optimizer.warmup: 0}}}",
            "'when' names 'optimizer.warmup', not searched",
        ),
        (
            "search.space={optimizer.clip_norm: {low: 1, high: 2,"
            " when: {diffusion.schedule.name: x}}, "
            "diffusion.schedule.name: {choices: [linear]}}",
            "diffusion.schedule.name can never be 'x'",
        ),
        (
            "search.space={optimizer.clip_norm: {low: 1, high: 2, when: {training.ema: 0.5}},"
            " training.ema: {low: 0.1, high: 0.9, when: {optimizer.clip_norm: 1.5}}}",
            "'when' goes in a circle",
        ),
        ("search.space={}", "search.space is empty"),
        (
            "search.baselines={a: {optimizer.clip_norm: none}}",
            "search.baselines.a: optimizer.clip_norm",
        ),
        ("search.trials=1", "leaves no room for 2 baselines"),
        ("objective.metric=fid", "no score 'fid' with evaluation.features 'digits_cnn'"),
        ("objective.constraints={luck: {max: 1}}", "no score 'luck'"),
        ("halving.first_rung=1280", "must lie below training.images 1280"),
        ("model.sample_size=9", "cannot be halved 1 times"),
        ("model.in_channels=3", "the digits are 8x8 grayscale"),
        ("model.norm_num_groups=7", "must be a multiple of norm_num_groups"),
        ("name=../elsewhere", "name: must consist of letters, digits"),
        ("search=5", "search: must be a section with 'key: value' lines, found 5"),
    ],
)
def test_a_mistake_is_one_sentence(override: str, sentence: str) -> None:
    with pytest.raises(InputError) as raised:
        tiny_study(override)
    assert sentence in str(raised.value)
    assert str(raised.value).startswith(str(DIGITS))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name: [", "line 1"),
        ("name: a\nname: b\n", "the key 'name' is given twice"),
        ("- a\n- b\n", "must consist of sections"),
        ("", "must consist of sections"),
        ("1: 2\n", "must consist of sections"),
        ("a: !!python/object/apply:os.getcwd []\n", "is not valid YAML"),
        ("data: {source: digits, train: 1, validation: 1, test: 1}\n", "this setting is required"),
    ],
)
def test_a_file_that_is_no_study_is_one_sentence(
    tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=r"study\.yaml") as raised:
        read_study(path)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_or_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file"):
        read_study(tmp_path / "absent.yaml")
    with pytest.raises(InputError, match="cannot be read"):
        read_study(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(InputError, match="UTF-8"):
        read_study(tmp_path / "binary.yaml")


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_file_is_read_or_refused_with_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, content: str | bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "study.yaml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(InputError):
        read_study(path)


def test_copying_more_than_held_out_images_seem_to_is_infeasible_by_default() -> None:
    study = tiny_study("objective={metric: kd_digits_cnn}")
    bound = study.objective.constraints["memorized_fraction"]
    assert constraint("memorized_fraction", bound.model_dump(exclude_none=True)) == (
        "memorised fraction at most that of held-out images + 1.0%"
    )

    def violation(memorized: float, heldout: float) -> float:
        found = {"memorized_fraction": memorized, "heldout_memorized_fraction": heldout}
        return study.objective.violation(found)

    assert violation(0.03, 0.02) == 0
    assert violation(0.05, 0.02) == pytest.approx(2)
    assert (
        tiny_study("objective={metric: fd_digits_cnn, constraints: {}}").objective.constraints == {}
    )


def test_any_score_can_be_bounded_from_both_sides() -> None:
    study = tiny_study(
        "objective={metric: fd_digits_cnn,"
        " constraints: {recall: {min: 0.5}, c_t: {min: -3, max: 3}}}"
    )
    assert study.objective.excess({"recall": 0.4, "c_t": -5}) == {
        "recall": pytest.approx(0.1), "c_t": pytest.approx(2)
    }  # fmt: skip
    assert study.objective.violation({"recall": 0.6, "c_t": 1}) == 0
    # A score that could not be taken is not met.
    assert study.objective.violation({"recall": 0.6}) == 1


@pytest.mark.parametrize(
    ("objective", "sentence"),
    [
        ("{metric: recall}", "no score 'recall'"),
        ("{metric: fid}", "no score 'fid' with evaluation.features 'digits_cnn'"),
        ("{metric: fd_digits_cnn, constraints: {recall: {}}}", "a constraint is {max: ...}"),
        ("{metric: fd_digits_cnn, constraints: {nothing: {max: 1}}}", "no score 'nothing'"),
        (
            "{metric: fd_digits_cnn, constraints: {recall: {over_heldout: 0.1}}}",
            "over_heldout is for memorized_fraction and authentic_fraction",
        ),
    ],
)
def test_what_is_no_objective_is_one_sentence(objective: str, sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        tiny_study(f"objective={objective}")
