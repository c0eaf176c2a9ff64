"""A search that begins with what an earlier one found."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import optuna_trials, tiny_study
from tests.search.test_coordinator import coordinator, play
from tune_diffreg.errors import InputError
from tune_diffreg.results import best_trial
from tune_diffreg.results.best_config import best_config
from tune_diffreg.study import Study


def earlier(storage: Path) -> Study:
    study = tiny_study("name=earlier")
    subject = coordinator(storage, study)
    play(subject, study)
    best = best_trial(study, [r for r in subject.records.values() if not r.baseline])
    assert best is not None
    content = yaml.safe_dump(best_config(study, best, {}))
    (storage / "best.yaml").write_text(content)
    return study


def test_trials_of_an_earlier_study_are_learned_from_once(tmp_path: Path) -> None:
    earlier(tmp_path)
    (tmp_path / "earlier").rename(tmp_path / "put aside")
    study = tiny_study(f"search.warm_start={tmp_path / 'put aside'}")
    play(coordinator(tmp_path, study), study, stop_after=3)
    subject = coordinator(tmp_path, study)
    play(subject, study)
    known = [t for t in optuna_trials(tmp_path / study.name) if "source" in t.user_attrs]
    others = [t for t in optuna_trials(tmp_path / "put aside") if "source" not in t.user_attrs]
    assert [t.user_attrs["source"] for t in known] == [f"put aside/t{n:04d}" for n in range(2, 8)]
    for copy, original in zip(known, others, strict=True):
        assert (copy.state, copy.params) == (original.state, original.params)
        assert copy.intermediate_values == original.intermediate_values
        assert copy.constraints == original.constraints
    assert len(subject.records) == study.search.trials  # they are no trials of this study


def test_a_best_yaml_is_tried_first(tmp_path: Path) -> None:
    earlier(tmp_path)
    study = tiny_study(f"search.warm_start={tmp_path / 'best.yaml'}", "search.seed=1")
    play(coordinator(tmp_path, study), study, stop_after=1)
    subject = coordinator(tmp_path, study)
    play(subject, study)
    config = yaml.safe_load((tmp_path / "best.yaml").read_text())["config"]
    first = next(r for r in subject.records.values() if not r.baseline)
    dropout = first.values["regularization.residual_dropout"]
    assert dropout == config["regularization"]["residual_dropout"]
    again = [r for r in subject.records.values()
             if r.values.get("regularization.residual_dropout") == dropout]  # fmt: skip
    assert again == [first]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("training.images=2560", "has another 'training'"),
        ("objective.constraints={}", "has another 'objective'"),
        ("search.space={optimizer.weight_decay: {low: 0.1, high: 1.0}}", "another search.space"),
        ("search.warm_start=nowhere", "neither the folder of a study"),
        ("search.warm_start=pyproject.toml", "is not valid YAML"),
    ],
)
def test_what_cannot_be_learned_from_is_one_sentence(
    tmp_path: Path, override: str, sentence: str
) -> None:
    earlier(tmp_path)
    study = tiny_study(f"search.warm_start={tmp_path / 'earlier'}", override)
    with pytest.raises(InputError, match=sentence):
        coordinator(tmp_path, study)


def test_a_best_yaml_outside_the_space_is_one_sentence(tmp_path: Path) -> None:
    earlier(tmp_path)
    study = tiny_study(
        f"search.warm_start={tmp_path / 'best.yaml'}",
        "search.space={regularization.residual_dropout: {low: 0.6, high: 0.7}}",
    )
    with pytest.raises(InputError, match=r"residual_dropout is 0\.\d+ there, outside"):
        coordinator(tmp_path, study)
