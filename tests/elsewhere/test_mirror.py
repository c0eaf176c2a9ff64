"""What is published and fetched, on a real S3 interface."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.elsewhere.machines import found, on_another_machine
from tune_diffreg import mirror
from tune_diffreg.files import write_atomically
from tune_diffreg.mirror import fetch, publish_growth, shed, storage_at, withdraw
from tune_diffreg.results import StudyFolder
from tune_diffreg.search.checkpoint import (
    LATEST,
    load_checkpoint,
    remove_leftovers,
    save_checkpoint,
)


def test_what_is_written_whole_is_there_for_others(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage = storage_at(address)
    assert mirror.address_of(storage) == address
    for name in ("study/best.yaml", "study/.hidden", "references/features", "file"):
        path = storage / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, name)
    other = on_another_machine(address, monkeypatch, tmp_path / "other")
    for name in ("study/best.yaml", "study/.hidden", "references/features", "file"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        fetch(other / name)
    assert {p.name for p in other.rglob("*") if p.is_file()} == {
        ".storage", "best.yaml", "features"
    }  # fmt: skip
    assert (other / "study" / "best.yaml").read_text() == "study/best.yaml"
    withdraw(storage / "study" / "best.yaml")
    assert not (storage / "study" / "best.yaml").exists()


@settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
@given(pieces=st.lists(st.binary(min_size=1, max_size=40), max_size=12), most=st.integers(1, 5))
def test_what_grows_is_the_same_elsewhere(
    address: str, pieces: list[bytes], most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "_MOST_PIECES", most)
        storage = on_another_machine(address, patch, tmp_path_factory.mktemp("one"))
        path = storage / "study" / tmp_path_factory.mktemp("x").name
        path.parent.mkdir(parents=True, exist_ok=True)
        for piece in pieces:
            with path.open("ab") as file:
                file.write(piece)
            publish_growth(path)
        other = on_another_machine(address, patch, tmp_path_factory.mktemp("two"))
        copy = other / path.relative_to(storage)
        found(other).fetch_growth(copy)
        assert copy.exists() == bool(pieces)
        if pieces:
            assert copy.read_bytes() == path.read_bytes() == b"".join(pieces)
            # It goes on there, and the first machine takes what it had not.
            with copy.open("ab") as file:
                file.write(b"more")
            publish_growth(copy)
            found(storage).fetch_growth(path)
            assert path.read_bytes() == copy.read_bytes()


def test_what_this_machine_alone_knows_is_kept(address: str) -> None:
    storage = storage_at(address)
    path = storage / "study" / "journal.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"first\n")
    publish_growth(path)
    path.write_bytes(b"first\nsecond\n")  # and the machine went down before it was published
    found(storage).fetch_growth(path)
    assert path.read_bytes() == b"first\nsecond\n"


def test_a_copy_that_is_no_growth_of_what_was_published_is_not_published(
    address: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage = storage_at(address)
    path = storage / "study" / "journal.jsonl"
    path.parent.mkdir()
    path.write_bytes(b"first\n")
    publish_growth(path)
    other = on_another_machine(address, monkeypatch, tmp_path / "other") / "study" / path.name
    other.parent.mkdir()
    for stale in (b"another\n", b""):
        other.write_bytes(stale)
        with pytest.raises(OSError, match="another machine has gone on"):
            publish_growth(other)


def test_what_a_machine_kept_of_old_trials_is_shed_and_fetched_again(address: str) -> None:
    storage = storage_at(address)
    folder = StudyFolder(storage, "digits")
    for trial in ("t0000", "t0001"):
        folder.trial(trial).mkdir(parents=True)
        save_checkpoint(folder.trial(trial), {"step": trial})
    old = folder.trial("t0000") / LATEST
    os.utime(old, (1e9, 1e9))
    shed(folder.root / "trials")
    assert [p.parent.name for p in storage.rglob(LATEST)] == ["t0001"]
    assert load_checkpoint(folder.trial("t0000")) == {"step": "t0000"}
    shutil.rmtree(folder.root / "trials")  # of a machine that a killed driver did not see
    remove_leftovers(folder.root, {"t0000"})
    trials = folder.root / "trials"
    assert found(storage).found(trials, LATEST) == [folder.trial("t0001") / LATEST]


def test_a_folder_keeps_what_is_old(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    os.utime(tmp_path / "old", (1e9, 1e9))
    shed(tmp_path)
    assert (tmp_path / "old").exists()
