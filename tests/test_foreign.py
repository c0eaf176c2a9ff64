"""Files that others handed over: no code of theirs runs unasked, no name of theirs is a path."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import Command, tiny_study
from tests.production.test_handing_over import found
from tests.test_bad_input import sentence
from tune_diffreg.errors import InputError
from tune_diffreg.results import read_best
from tune_diffreg.study import Study

PLANTED = """
from pathlib import Path
Path(__file__).with_name("it-ran").touch()
import torch
class Net(torch.nn.Flatten):
    def forward(self, images):
        return super().forward(images.double())
def net(**_):
    return Net()
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder that holds somebody's code; `it-ran` is there once it was imported."""
    (tmp_path / "planted.py").write_text(PLANTED)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    sys.modules.pop("planted", None)
    return tmp_path


def written(path: Path, **changes: Any) -> Path:
    """An export's best.yaml with changes, each dotted path (with __ for dots) to its value."""
    content = found(tiny_study()).model_dump(mode="json", by_alias=True)
    for key, value in changes.items():
        *sections, last = key.split("__")
        inner = content
        for section in sections:
            inner = inner[section]
        inner[last] = value
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


MODEL = {"in_channels": 1, "sample_size": 8, "factory": "planted:net"}
FEATURES = {"factory": "planted:net"}


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"config__model": MODEL}, "planted:net (model.factory)"),
        ({"config__evaluation__features": FEATURES}, "planted:net (evaluation.features.factory)"),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "export/best.yaml"),
        ("narrow", "export/best.yaml", "--output", "study.yaml"),
        ("compare", "export", "export/best.yaml"),
        ("evaluate", "export"),
        ("evaluate", "images", "--against", "export/best.yaml"),
    ],
)
def test_code_that_an_imported_file_names_is_not_run_unasked(
    command: Command, work: Path, arguments: tuple[str, ...], changes: dict[str, Any], named: str
) -> None:
    written(work / "export" / "best.yaml", **changes)
    status, printed = command(*arguments)
    assert status == 2
    assert f"names code to be run, {named}; " in sentence(printed)
    assert "--trust" in printed
    assert not (work / "it-ran").exists()
    assert not (work / "study.yaml").exists()


def test_with_trust_it_is_run(command: Command, work: Path) -> None:
    written(work / "export" / "best.yaml", config__evaluation__features=FEATURES)
    draw = np.random.default_rng(0)
    np.savez(work / "images.npz", draw.integers(0, 256, (12, 8, 8), dtype=np.uint8))
    status, printed = command("compare", "export", "export", "--trust", "--json")
    assert status == 0, printed
    assert not (work / "it-ran").exists(), "comparing runs nothing"
    status, printed = command("evaluate", "images.npz", "--against", "export/best.yaml", "--trust")
    assert status == 0, printed
    assert "FD (net" in printed
    assert (work / "it-ran").exists()


def test_what_lies_in_the_working_folder_is_not_imported_where_nothing_names_it(
    command: Command, work: Path
) -> None:
    command("list")
    assert str(work) not in sys.path


def test_a_study_that_names_the_same_code_itself_may_start_from_such_a_file(work: Path) -> None:
    """Of a file that a search starts from, the values alone are used."""
    from tune_diffreg.search.warm_start import check_warm_start

    path = written(work / "best.yaml", config__model=MODEL)
    study = tiny_study(f"search.warm_start={path}")
    assert isinstance(study, Study)
    check_warm_start(study)
    assert not (work / "it-ran").exists()


@pytest.mark.parametrize(
    "name",
    ["../../outside", "/etc/passwd", "a/b", "..", ".hidden", "", "a" * 65, "a\nb", "é", "a b"],
)
@pytest.mark.parametrize("key", ["study", "trial_id"])
def test_names_in_an_imported_file_lead_nowhere(tmp_path: Path, key: str, name: str) -> None:
    path = written(tmp_path / "best.yaml", **{key: name})
    with pytest.raises(InputError, match=f"is not a best.yaml that can be used: {key}"):
        read_best(path)


@pytest.mark.parametrize("name", ["../x", "/x", "..", "x/y", "mlflow.db", "MLflow.db-wal", "x\n"])
def test_a_study_cannot_have_a_name_that_leaves_the_storage_or_takes_what_others_need(
    name: str,
) -> None:
    content = tiny_study().model_dump(mode="json")
    with pytest.raises(ValueError, match="name"):
        Study.model_validate({**content, "name": name})


def test_a_study_that_would_follow_from_a_file_and_is_none(command: Command, work: Path) -> None:
    path = written(work / "best.yaml", study="a" * 64)
    status, printed = command("narrow", path, "--output", work / "study.yaml")
    assert status == 2
    assert "no study follows from it: name" in sentence(printed)
