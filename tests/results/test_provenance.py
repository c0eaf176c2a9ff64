"""Where a result comes from: the study, the code, the seeds; and what a training makes of that."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import tiny_study
from tests.production.test_handing_over import found
from tune_diffreg.results import trained, versions
from tune_diffreg.results.provenance import commit_of, study_sha256
from tune_diffreg.search.preparation import prepare


def test_a_study_is_known_by_every_setting() -> None:
    assert study_sha256(tiny_study()) == study_sha256(tiny_study())
    assert study_sha256(tiny_study()) != study_sha256(tiny_study("search.seed=1"))


def test_code_is_known_by_its_commit_where_it_is_a_checkout_itself(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert commit_of(tmp_path) is None
    git("init")
    assert commit_of(tmp_path) is None  # nothing is committed
    (tmp_path / "code.py").write_text("1")
    git("add", ".")
    git("commit", "-m", "one")
    commit = git("rev-parse", "HEAD")[:12]
    assert commit_of(tmp_path) == commit
    (tmp_path / "code.py").write_text("2")
    assert commit_of(tmp_path) == f"{commit}-dirty"
    (tmp_path / "site-packages").mkdir()  # of an environment inside somebody's repository
    assert commit_of(tmp_path / "site-packages") is None


def test_a_study_says_where_it_comes_from() -> None:
    study = tiny_study()
    provenance = prepare(study).provenance
    assert provenance["study_sha256"] == study_sha256(study)
    assert {"data_sha256", "features_sha256", *versions()} <= set(provenance)


def test_what_is_trained_elsewhere_comes_from_there() -> None:
    old = {"data_sha256": "ab", "study_sha256": "st", "torch": "0.1", "commit": "old",
           "features_sha256": "old", "search_seed": 7}  # fmt: skip
    best = found(tiny_study(), provenance=old)
    now = {"data_sha256": "cd", "features_sha256": "new", "torch": "9"}
    after = trained(best, {"fd_digits_cnn": 1.0, "memorized_fraction": 0.0}, now)
    assert after.provenance == {**now, "study_sha256": "st", "search_seed": 7}
