"""Where a result comes from: versions of what took part in it, and hashes."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import tune_diffreg
from tune_diffreg.results.journal import Event
from tune_diffreg.study import Study

_RECORDED_PACKAGES = ("torch", "torchvision", "diffusers", "ray", "optuna", "mlflow")
_GIT_SECONDS = 10


def versions() -> dict[str, str]:
    """Versions of what takes part in a result; of ours the commit too, where it is a checkout."""
    commit = commit_of(Path(tune_diffreg.__file__).parent.parent)
    return {
        "tune-diffreg": tune_diffreg.__version__,
        **({"commit": commit} if commit else {}),
        "python": platform.python_version(),
        **{package: found for package in _RECORDED_PACKAGES if (found := _version(package))},
    }


def commit_of(checkout: Path) -> str | None:
    """What is checked out there, with "-dirty" where files were changed since; None if it is no
    checkout itself, as an installed package is none, or there is no git.
    """
    if not (checkout / ".git").exists():  # one in a folder above would be of other code
        return None
    command = ["git", "--no-optional-locks", "-C", str(checkout)]
    try:
        done = subprocess.run(
            [*command, "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def study_sha256(study: Study) -> str:
    """Of the study as it was resolved, every default filled in."""
    content = json.dumps(study.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def first_provenance(events: Iterable[Event]) -> dict[str, str]:
    """With which hashes and versions the study was started; empty where none tells."""
    return next((event.get("provenance", {}) for event in events), {})


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # a machine that only trains may do without it
        return None
