"""Files that others handed over: no code of theirs runs unasked, no name of theirs is a path."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.conftest import Command, tiny_study
from tests.production.test_handing_over import found
from tests.test_bad_input import sentence
from tune_diffreg.errors import InputError
from tune_diffreg.results import read_best, with_settings
from tune_diffreg.study import Study, read_study

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


@pytest.fixture
def with_cache(work: Path) -> dict[str, Any]:
    """Changes to a best.yaml: images of a folder, kept in a file that whoever wrote it chose."""
    (work / "photos").mkdir()
    draw = np.random.default_rng(0)
    for number in range(36):
        pixels = draw.integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(work / "photos" / f"{number}.png")
    np.savez(work / "images.npz", draw.integers(0, 256, (12, 8, 8), dtype=np.uint8))
    data = {"source": "image_folder", "path": "photos", "cache": "home/planted.pth",
            "train": 12, "validation": 12, "test": 12, "seed": 0}  # fmt: skip
    return {
        "config__data": data,
        "config__training__images": 32,
        "config__evaluation__samples": 12,
        "config__evaluation__steps": 1,
        "search__halving": None,
    }


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("evaluate", "images.npz", "--against", "export/best.yaml"), 0),
        (("evaluate", "export"), 2),  # which has no pipeline
        pytest.param(("train", "export/best.yaml"), 0, marks=pytest.mark.slow),
        (("narrow", "export/best.yaml", "--output", "study.yaml"), 0),
        (("compare", "export", "export"), 0),
    ],
)
def test_no_file_is_written_where_an_imported_one_says(
    command: Command, work: Path, with_cache: dict[str, Any], arguments: tuple[str, ...],
    expected: int,
) -> None:  # fmt: skip
    written(work / "export" / "best.yaml", **with_cache)
    status, printed = command(*arguments)
    assert status == expected, printed
    assert not (work / "home").exists()
    if arguments[0] == "narrow":
        assert read_study(work / "study.yaml").data.cache is None
    if arguments[0] == "train":
        assert read_best(work / "export/trained/best.yaml", trusted=True).config.data.cache is None


def test_with_trust_or_where_the_user_says_it_is(
    command: Command, work: Path, with_cache: dict[str, Any]
) -> None:
    path = written(work / "export" / "best.yaml", **with_cache)
    own = with_settings(read_best(path), path, ["data.cache=mine.u8"])
    assert own.config.data.cache == "mine.u8"
    status, printed = command("narrow", path, "--output", "study.yaml", "--trust")
    assert status == 0, printed
    assert read_study(work / "study.yaml").data.cache == "home/planted.pth"
    status, printed = command("evaluate", "images.npz", "--against", path, "--trust")
    assert status == 0, printed
    assert (work / "home" / "planted.pth").exists()


def test_where_images_are_kept_is_no_difference(
    command: Command, work: Path, with_cache: dict[str, Any]
) -> None:
    written(work / "a" / "best.yaml", **with_cache)
    del with_cache["config__data"]["cache"]
    written(work / "b" / "best.yaml", **with_cache)
    status, printed = command("compare", "a", "b", "--trust")
    assert status == 0, printed
    assert "cache" not in printed


@pytest.mark.parametrize("name", ["", ".lock", "history.jsonl", "ray/best.yaml"])
def test_a_training_goes_on_in_no_folder_that_leads_elsewhere(
    command: Command, work: Path, name: str
) -> None:
    """As an archive may bring one along beside its best.yaml."""
    path = written(work / "export" / "best.yaml")
    (work / "precious" / "sub").mkdir(parents=True)
    (work / "precious" / "thesis.tex").write_text("years of work")
    link = work / "export" / ".trained.training" / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(work / "precious" / ("thesis.tex" if name else ""))
    status, printed = command("train", path)
    assert status == 2
    assert f"{link} is a link, and a training makes none" in sentence(printed)
    assert sorted(file.name for file in (work / "precious").iterdir()) == ["sub", "thesis.tex"]
    assert (work / "precious" / "thesis.tex").read_text() == "years of work"


def test_a_training_is_not_written_where_a_link_leads(command: Command, work: Path) -> None:
    path = written(work / "export" / "best.yaml")
    (work / "export" / "trained").symlink_to("../home")
    status, printed = command("train", path)
    assert status == 2
    assert "trained is a link; name the folder itself as --output" in sentence(printed)
    assert sorted(file.name for file in work.iterdir()) == ["export", "planted.py"]


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
