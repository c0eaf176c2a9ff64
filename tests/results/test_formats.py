"""What is written as YAML is read as the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import tiny_study
from tune_diffreg.results import StudyFolder
from tune_diffreg.results.formats import to_yaml
from tune_diffreg.study.plain import parse

_TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"])) | st.from_regex(
    r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+", fullmatch=True
)
_VALUES = st.none() | st.booleans() | st.integers() | _TEXTS
_NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.dictionaries(_TEXTS, _VALUES | _NUMBERS | st.lists(_VALUES | _NUMBERS)))
def test_any_text_and_number_is_read_as_it_was_written(content: dict) -> None:
    read = parse(to_yaml(content))
    assert read == content
    assert repr(read) == repr(content)  # a number is no text, and 1 is neither 1.0 nor true


@pytest.mark.parametrize("name", ["1e5", "007", "12"])
def test_a_study_whose_name_looks_like_a_number_is_found_again(tmp_path: Path, name: str) -> None:
    study = tiny_study(f"name='{name}'")
    folder = StudyFolder(tmp_path, name)
    folder.create(study)
    assert folder.read_study() == study
