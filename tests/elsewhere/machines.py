"""What several machines do with one storage."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest

from tune_diffreg.elsewhere import Elsewhere
from tune_diffreg.mirror import Mirror, mirror_of, storage_at
from tune_diffreg.results import StudyFolder


def new_storage(server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bucket = tmp_path.name.replace("_", "-").lower()[:40].strip("-") + "-bucket"
    boto3.client("s3", endpoint_url=f"http://{server}").create_bucket(Bucket=bucket)
    return f"s3://{bucket}/studies?endpoint_override={server}&scheme=http"


def on_another_machine(address: str, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    return storage_at(address)


def found(storage: Path) -> Mirror:
    mirror = mirror_of(storage)
    assert mirror is not None
    return mirror


def write_lease(folder: StudyFolder, content: bytes) -> None:
    """As another machine would."""
    Elsewhere(found(folder.storage).address).write(f"{folder.name}/.lease", content)
