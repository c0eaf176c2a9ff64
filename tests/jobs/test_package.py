"""What a study takes with it: its file, resolved, and of the user's code only what it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import tiny_study
from tune_diffreg.errors import InputError
from tune_diffreg.jobs.package import (
    STUDY_FILE,
    named_code,
    own_code,
    require_paths_of_cluster,
    shipped,
)
from tune_diffreg.study import Study, read_study

OWN = "model={in_channels: 1, sample_size: 8, factory: 'nets.small:build'}"


def with_own_model() -> Study:
    return tiny_study(OWN, "search.space={optimizer.weight_decay: {low: 0.0, high: 0.1}}")


def test_the_file_goes_resolved_and_is_the_same_study_there() -> None:
    study = tiny_study("search.seed=7")
    with shipped(study, []) as folder:
        assert [path.name for path in folder.iterdir()] == [STUDY_FILE]
        assert read_study(folder / STUDY_FILE) == study


def test_code_that_a_factory_needs_goes_with_it_and_nothing_else(tmp_path: Path) -> None:
    files = {
        "nets/__init__.py": "",
        "nets/small.py": "import torch\nfrom layers import Block\nfrom . import other\n",
        "nets/other.py": "import os\n",
        "nets/__pycache__/small.pyc": "",
        "nets/.secret": "",
        "layers.py": "import numpy\n",
        "token.txt": "",
        "unused.py": "",
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    code = own_code(with_own_model(), [tmp_path / "elsewhere", tmp_path])
    with shipped(with_own_model(), code) as folder:
        names = {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()}
    assert names == {
        STUDY_FILE, "layers.py", "nets/__init__.py", "nets/small.py", "nets/other.py"
    }  # fmt: skip


def test_a_factory_that_lies_nowhere_is_left_to_the_cluster(tmp_path: Path) -> None:
    assert own_code(with_own_model(), [tmp_path]) == []


def test_code_that_is_not_python_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "nets.py").write_text("def build(:\n")
    with pytest.raises(InputError, match=r"nets.py: is not valid Python"):
        own_code(with_own_model(), [tmp_path])


def test_a_resume_takes_the_same_code_or_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "layers.py").touch()
    assert named_code(["layers.py"], tmp_path) == [tmp_path / "layers.py"]
    with pytest.raises(InputError, match="the study needs nets, which is not in"):
        named_code(["layers.py", "nets"], tmp_path)


def test_a_path_that_means_nothing_on_a_cluster_is_refused() -> None:
    require_paths_of_cluster(tiny_study("search.warm_start=/mnt/studies/first"))
    with pytest.raises(InputError, match=r"search.warm_start: 'runs/first' says nothing on a"):
        require_paths_of_cluster(tiny_study("search.warm_start=runs/first"))
