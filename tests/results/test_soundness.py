"""A journal that we did not write: said to be damaged before anything is made of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Command, tiny_study
from tests.search.test_coordinator import coordinator, play
from tests.test_bad_input import sentence
from tune_diffreg.errors import InputError
from tune_diffreg.json_text import parse_json
from tune_diffreg.results import StudyFolder, read_journal, read_state
from tune_diffreg.results.events import require_event

Folder = Callable[[str, dict[str, Any]], StudyFolder]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[dict[str, Any]]]:
    """The events of a whole search."""
    study = tiny_study()
    storage = tmp_path_factory.mktemp("sound")
    subject = coordinator(storage, study)
    subject.begin({"data_sha256": "a", "features_sha256": "b"})
    play(subject, study)
    yield read_journal(StudyFolder(storage, study.name).journal)


def written(storage: Path, lines: list[dict[str, Any]]) -> StudyFolder:
    folder = StudyFolder(storage, "digits")
    folder.create(tiny_study())
    folder.journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def first(lines: list[dict[str, Any]], kind: str, **changes: Any) -> list[dict[str, Any]]:
    """The events, with the first of a kind changed that is of a proposed trial."""
    index = next(
        i for i, line in enumerate(lines) if line["event"] == kind and not line.get("baseline")
    )
    return [*lines[:index], {**lines[index], **changes}, *lines[index + 1 :]]


@pytest.fixture
def changed(tmp_path: Path, lines: list[dict[str, Any]]) -> Folder:
    """Makes a study's folder with one event of its journal changed."""
    return lambda kind, changes: written(tmp_path, first(lines, kind, **changes))


def test_what_we_wrote_is_sound(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    assert read_state(written(tmp_path, lines))["trials"]["total"] == 8


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("start", {"trial": "../../outside"}),
        ("start", {"trial": "/etc"}),
        ("start", {"trial": 5}),
        ("start", {"values": []}),
        ("start", {"time": "now"}),
        ("start", {"time": -1}),
        ("start", {"proposal": "7"}),
        ("report", {"images": -1}),
        ("report", {"images": 1.5}),
        ("report", {"decision": "celebrate"}),
        ("report", {"scores": {"fd_digits_cnn": "low"}}),
        ("report", {"scores": {"fd_digits_cnn": 10**400}}),
        ("report", {"scores": None}),
        ("end", {"state": "running"}),
        ("end", {"reason": 5}),
        ("session", {"provenance": []}),
        ("session", {"event": 5}),
    ],
)
def test_an_event_that_we_never_write_is_damage(
    tmp_path: Path, lines: list[dict[str, Any]], kind: str, changes: dict[str, Any]
) -> None:
    folder = written(tmp_path, first(lines, kind, **changes))
    with pytest.raises(InputError, match="the study's journal is damaged at byte"):
        read_journal(folder.journal)


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("start", {"values": {"no.such": 1}}, "no.such 1 is not in the study's space"),
        ("start", {"values": {"optimizer.weight_decay": 1e9}}, "is not in the study's space"),
        ("start", {"values": {"optimizer.weight_decay": True}}, "is not in the study's space"),
        ("start", {"values": {"optimizer.clip_norm": [1]}}, "is not in the study's space"),
        ("start", {"baseline": "x", "values": {"model.factory": 1}}, "trial"),
        ("start", {"trial": "another"}, "tells of trial"),
        ("report", {"trial": "nobody"}, "tells of trial 'nobody' and not of its start"),
        ("report", {"scores": {"validation_loss": 1.0}}, "has no objective"),
    ],
)
def test_trials_that_are_not_of_the_study_are_damage_for_every_command(
    command: Command, changed: Folder, kind: str, changes: dict[str, Any], expected: str
) -> None:
    tmp_path = changed(kind, changes).storage
    status, printed = command("list", "--storage", tmp_path)
    assert status == 0, "there may be others"
    assert printed.startswith("digits: damaged: ")
    assert expected in printed
    for verb in ("status", "best", "report", "export"):
        output = ["--output", tmp_path / "out"] if verb == "export" else []
        status, printed = command(verb, "digits", *output, "--storage", tmp_path)
        assert status == 2, (verb, printed)
        assert expected in sentence(printed)
    assert not (tmp_path / "out").exists()


def test_events_of_a_later_version_pass() -> None:
    require_event({"event": "celebrated", "time": 1.0, "more": {"of": ["this"]}})
    require_event({"event": "promote", "time": 1.0, "trial": "t0001", "why": "it is new"})


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        '{"a": ' * 100_000,
        "NaN",
        "-Infinity",
        '"\\ud800"',
        "1" * 5000,
        "",
        "{",
        b"\xff",
    ],
)
def test_json_that_is_a_trap_is_a_value_error(content: str | bytes) -> None:
    with pytest.raises(ValueError):
        parse_json(content)
    assert parse_json('{"a": "\\u00e9\\ud83d\\ude00"}') == {"a": "é😀"}
