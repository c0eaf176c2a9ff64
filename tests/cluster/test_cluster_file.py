"""`cluster.yaml` says what Ray's launcher takes, and what its documentation promises."""

from __future__ import annotations

import re
import subprocess
from copy import deepcopy
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.conftest import ROOT

TEXT = (ROOT / "cluster.yaml").read_text()
SCRIPTS = sorted((ROOT / "cluster").glob("*.sh"))


@pytest.fixture
def config() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(TEXT)
    return read


def commands(config: dict[str, Any]) -> list[str]:
    return [text for key, lines in config.items() if key.endswith("_commands") for text in lines]


def node_types(config: dict[str, Any]) -> dict[str, Any]:
    types: dict[str, Any] = config["available_node_types"]
    return types


def test_it_is_valid_for_rays_launcher(config: dict[str, Any]) -> None:
    prepared = prepare_config(config)
    validate_config(prepared)
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**prepared, "no_such_key": 1})
    broken = deepcopy(prepared)
    del node_types(broken)["gpu"]["resources"]
    with pytest.raises(jsonschema.ValidationError):
        validate_config(broken)


def test_every_command_and_script_is_bash(config: dict[str, Any]) -> None:
    assert SCRIPTS
    for text in [*commands(config), *(script.read_text() for script in SCRIPTS)]:
        done = subprocess.run(
            ["bash", "-n"], input=text, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), text


def test_rays_own_commands_are_all_replaced(config: dict[str, Any]) -> None:
    """What a file leaves out comes from Ray's, whose dashboard listens on every address."""
    given = {key for key in prepare_config(deepcopy(config)) if key.endswith("_commands")}
    assert given <= set(config)
    assert "0.0.0.0" not in TEXT
    [head] = [text for text in config["head_start_ray_commands"] if "--head" in text]
    assert "--dashboard-host=127.0.0.1" in head
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head


def test_the_head_takes_no_trial_and_workers_come_for_pending_ones_spot_first(
    config: dict[str, Any],
) -> None:
    types = node_types(config)
    spot, owned = types["gpu_spot"], types["gpu"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0, "GPU": 0}
    assert spot["resources"] == owned["resources"] == {}  # all that the machine has
    assert spot["node_config"].pop("InstanceMarketOptions") == {"MarketType": "spot"}
    assert spot["node_config"] == owned["node_config"]
    assert spot["priority"] > owned.get("priority", 0)
    assert spot["min_workers"] == owned["min_workers"] == types["head"]["max_workers"] == 0
    assert config["max_workers"] >= max(spot["max_workers"], owned["max_workers"]) > 0


def test_every_node_is_set_up_once_and_alike(config: dict[str, Any]) -> None:
    """The launcher puts `setup_commands` before the others, and the autoscaler once more."""
    [command] = config["head_setup_commands"]
    twice = prepare_config(prepare_config(config))
    assert twice["head_setup_commands"] == twice["worker_setup_commands"] == [command]
    assert command.startswith("bash ~/tune-diffreg/cluster/node.sh ")


def test_what_a_user_must_change_is_marked_once_each() -> None:
    marked = [line for line in TEXT.splitlines() if "# CHANGE" in line]
    assert len(marked) == 3
    assert "three lines" in TEXT.lower()
    storage = [line for line in marked if "node.sh" in line]
    assert storage == [line for line in TEXT.splitlines() if "//BUCKET/studies" in line]
    for name in ("ami-", "us-west-2"):
        assert TEXT.count(name) == 1, f"{name} is set in more than one place"


def test_the_token_reaches_every_node_and_ray_is_started_with_it(config: dict[str, Any]) -> None:
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for key in ("head_start_ray_commands", "worker_start_ray_commands"):
        assert all(text.startswith(". ~/.tune-diffreg; ") for text in config[key])


def test_each_worker_is_watched_for_its_end_once_ray_runs_there(config: dict[str, Any]) -> None:
    *_, start, watch = config["worker_start_ray_commands"]
    assert "ray start " in start
    assert "python ~/tune-diffreg/cluster/spot.py " in watch


def test_what_is_sent_to_the_nodes_is_there_and_is_all_that_an_installation_takes(
    config: dict[str, Any],
) -> None:
    """And no more: Ray reads it all at each `ray up`, excluded or not."""
    mounts = {there: here for there, here in config["file_mounts"].items() if "/.ray/" not in there}
    for there, here in mounts.items():
        assert there == f"~/tune-diffreg/{here}"
        assert (ROOT / here).exists()
    project = (ROOT / "pyproject.toml").read_text()
    for name in re.findall(r'^(?:readme|license-files) = \[?"([^"]+)"', project, re.MULTILINE):
        assert name in mounts.values()
    files = [file for here in mounts.values() for file in [ROOT / here, *(ROOT / here).rglob("*")]]
    assert sum(file.stat().st_size for file in files) < 10**7
