"""Distributions and dotted paths."""

from __future__ import annotations

import pytest

from tune_diffreg.study import Distribution, TrialConfig
from tune_diffreg.study.space import override, takes_float


def test_a_value_is_contained_where_a_trial_could_have_it() -> None:
    assert Distribution(low=0.0, high=1.0).contains(0.5)
    assert not Distribution(low=0.0, high=1.0).contains(1.5)
    assert not Distribution(low=0.0, high=1.0).contains(True)
    assert Distribution(low=8, high=64, step=8).contains(24)
    assert not Distribution(low=8, high=64, step=8).contains(25)
    assert Distribution(choices=[None, 1.0]).contains(None)
    assert not Distribution(choices=[0, 1]).contains(False)


def test_a_condition_holds_for_a_value_or_any_of_a_list() -> None:
    one = Distribution(low=0, high=1, when={"a": "x"})
    many = Distribution(low=0, high=1, when={"a": ["x", "y"]})
    assert one.applies({"a": "x"})
    assert not one.applies({"a": "y"})
    assert not one.applies({})
    assert many.applies({"a": "y"})


def test_override_changes_a_copy() -> None:
    before = {"a": {"b": 1, "c": 2}}
    assert override(before, {"a.b": 5, "d": 6}) == {"a": {"b": 5, "c": 2}, "d": 6}
    assert before == {"a": {"b": 1, "c": 2}}
    with pytest.raises(ValueError, match="single setting"):
        override(before, {"a.b.c": 1})
    with pytest.raises(ValueError, match="single setting"):
        override({"search": {"space": 3}}, {"search.space.a.b": 1})


def test_whole_numbers_are_told_from_real_ones_by_the_setting() -> None:
    assert takes_float(TrialConfig, "optimizer.clip_norm") is True
    assert takes_float(TrialConfig, "regularization.residual_dropout") is True
    assert takes_float(TrialConfig, "training.batch_size") is False
    assert takes_float(TrialConfig, "diffusion.schedule") is None
