"""YAML files that are traps: larger, deeper or of other stuff than they look."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tune_diffreg.errors import InputError
from tune_diffreg.study import parse_overrides, read_yaml
from tune_diffreg.study.plain import MOST_BYTES


def laughs(levels: int, merge: bool = False) -> str:
    """Each line refers nine times to the one before it."""
    lines = ["a0: &a0 {x: lol}" if merge else "a0: &a0 [lol]"]
    for level in range(1, levels):
        before = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} " + (f"{{<<: [{before}]}}" if merge else f"[{before}]"))
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (laughs(12), "more than 100,000 values, aliases counted each time"),
        (laughs(12, merge=True), "more than 100,000 values, aliases counted each time"),
        ("a: &a [*a]", "an alias that contains itself"),
        ("a: &a {b: *a}", "an alias that contains itself"),
        ("a: " + "[" * 60 + "]" * 60, "nested more than 40 deep"),
        ("a: " + "[" * 100_000, "nested too deep"),
        ("a: " + "{b: " * 5000, "nested too deep"),
        ("a: " + "x" * MOST_BYTES, "is larger than 1,000,000 bytes"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: !!python/name:os.system", "could not determine a constructor"),
        ("a: 2020-01-01", "a: must be text, a number, true, false or null, found a date"),
        (
            "a: {b: !!binary aGk=}",
            "a.b: must be text, a number, true, false or null, found a bytes",
        ),
        ("a: !!set {b}", "found a set"),
        ("a: [1, .nan]", "a: must be a finite number, found nan"),
        ("a: .inf", "a: must be a finite number, found inf"),
        ("a: 1" + "0" * 40, "a: a number of 41 digits is too large"),
        ("a: 1" + "0" * 5000, "Exceeds the limit"),
        ('a: "\\e[2J"', "a: must not hold the control character '\\x1b'"),
        ('a: "x\\0y"', "a: must not hold the control character '\\x00'"),
        ('"\\e[2J": 1', "must not hold the control character"),
        ("a: {1: 2}", "a: a key must be text, found 1; put it into quotes"),
        ("a: https://me:hunter2@host", "a: holds credentials; put them into the environment"),
    ],
)
def test_a_trap_is_refused_at_once_with_a_sentence(
    tmp_path: Path, content: str, expected: str
) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(content)
    began = time.monotonic()
    with pytest.raises(InputError) as refused:
        read_yaml(path)
    assert expected in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert time.monotonic() - began < 20


def test_a_link_to_itself_and_a_folder_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    for path in (tmp_path / "loop.yaml", tmp_path, tmp_path / ("x" * 300), tmp_path / "a\0b"):
        with pytest.raises(InputError):
            read_yaml(path)


def test_aliases_within_reason_are_what_they_stand_for(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: &a {x: 1, y: 1e-4}\nb: {<<: *a, y: 2}\nc: *a\n")
    a = {"x": 1, "y": 1e-4}
    assert read_yaml(tmp_path / "a.yaml") == {"a": a, "b": {"x": 1, "y": 2}, "c": a}


def test_an_override_is_held_to_the_same() -> None:
    for text in ("a=.nan", "a=2020-01-01", "a={b: 'https://x:y@z'}", "a=" + "[" * 3000):
        with pytest.raises(InputError, match="--set a"):
            parse_overrides([text])
