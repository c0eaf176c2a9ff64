"""The project itself: its rooms, its cluster file, its documentation of the study file."""

from __future__ import annotations

import subprocess
import sys

import jsonschema
import pytest
import yaml

from tests.conftest import ROOT


def test_no_room_imports_what_it_may_not() -> None:
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


def test_the_cluster_file_is_valid_for_rays_launcher() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    validate_config(prepare_config(config))
    schema_errors = jsonschema.ValidationError
    with pytest.raises(schema_errors):
        validate_config({**prepare_config(config), "no_such_key": 1})
    head = " ".join(config["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head
    assert "0.0.0.0" not in (ROOT / "cluster.yaml").read_text()


def test_the_reference_of_the_study_file_is_what_its_code_says() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "study_reference.py"), "--check"],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
