"""`rayjob.yaml` says what KubeRay and Kubernetes take, and what its documentation promises."""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from kubernetes import client
from ray.autoscaler._private.kuberay.autoscaling_config import (
    _derive_autoscaling_config_from_ray_cr,
)

from tests.conftest import ROOT, run_cli

TEXT = (ROOT / "rayjob.yaml").read_text()
SCHEMA = yaml.safe_load((Path(__file__).parent / "rayjob_schema.yaml").read_text())


@pytest.fixture
def job() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(TEXT)
    return read


def groups(job: dict[str, Any]) -> list[dict[str, Any]]:
    """The head's first."""
    cluster = job["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


def pods(job: dict[str, Any]) -> list[dict[str, Any]]:
    return [group["template"]["spec"] for group in groups(job)]


def check_model(value: Any, kind: str, path: str = "") -> None:
    """Compares with one of Kubernetes' own models: no unknown field, none missing, types right."""
    if found := re.fullmatch(r"List\[(\w+)\]", kind, re.IGNORECASE):
        assert isinstance(value, list), path
        for index, part in enumerate(value):
            check_model(part, found[1], f"{path}.{index}")
    elif found := re.fullmatch(r"Dict[(\[]str, (\w+)[)\]]", kind, re.IGNORECASE):
        assert isinstance(value, dict), path
        for key, part in value.items():
            check_model(part, found[1], f"{path}.{key}")
    elif kind.startswith("V1"):
        model = getattr(client, kind)
        names = {name: attribute for attribute, name in model.attribute_map.items()}
        assert set(value) <= set(names), f"{path}: unknown {set(value) - set(names)}"
        model(**{names[name]: part for name, part in value.items()})  # raises if one is missing
        for name, part in value.items():
            check_model(part, model.openapi_types[names[name]], f"{path}.{name}")
    elif kind != "object":
        known = {"str": str, "int": int, "bool": bool, "float": float}
        assert isinstance(value, known[kind]), f"{path}: {value!r} is no {kind}"


def test_it_is_valid_for_kuberay(job: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.validate(job)
    for place, key, value in (
        (("spec",), "no_such_field", 1),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams"), "num-cpus", 0),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0), "minReplicas", "0"),
    ):
        broken: Any = deepcopy(job)
        inner = broken
        for step in place:
            inner = inner[step]
        inner[key] = value
        assert not validator.is_valid(broken), key


def test_its_pods_are_valid_for_kubernetes(job: dict[str, Any]) -> None:
    for group in groups(job):
        check_model(group["template"], "V1PodTemplateSpec")
    for broken, kind in (
        ({"spec": {"containers": [], "nodeSelectors": {}}}, "V1PodTemplateSpec"),
        ({"image": "x"}, "V1Container"),
        ({"name": "x", "value": 1}, "V1EnvVar"),
    ):
        with pytest.raises((AssertionError, ValueError)):
            check_model(broken, kind)


def test_rays_autoscaler_reads_from_it_what_is_meant(job: dict[str, Any]) -> None:
    """The head takes no trial; GPU pods come with pending trials, on spot machines first."""
    cluster = {"metadata": {"namespace": "n", "name": "c"}, "spec": job["spec"]["rayClusterSpec"]}
    assert cluster["spec"]["enableInTreeAutoscaling"]
    config = _derive_autoscaling_config_from_ray_cr(cluster)
    types = config["available_node_types"]
    head = types.pop(config["head_node_type"])
    assert (head["resources"]["CPU"], head["resources"]["GPU"]) == (0, 0)
    assert set(types) == {"gpu", "gpu-spot"}
    for kind in types.values():
        assert (kind["min_workers"], kind["resources"]["GPU"]) == (0, 1)
        assert kind["max_workers"] > 0
    assert types["gpu-spot"]["priority"] > types["gpu"].get("priority", 0)
    assert config["idle_timeout_minutes"] == 10


def test_all_pods_have_the_same_image_storage_and_folders(job: dict[str, Any]) -> None:
    head, *workers = pods(job)
    names = ("image", "env", "envFrom", "volumeMounts")
    for worker in workers:
        assert worker["volumes"] == head["volumes"]
        assert [worker["containers"][0][n] for n in names] == [
            head["containers"][0][n] for n in names
        ]
    [storage] = head["containers"][0]["env"]
    assert storage["name"] == "TUNE_DIFFREG_STORAGE"
    assert workers[0] == {k: v for k, v in workers[1].items() if k != "nodeSelector"}
    marked = [line for line in TEXT.splitlines() if "# CHANGE" in line]
    assert len(marked) == TEXT.count("# CHANGE") == 3
    for name in ("REGISTRY/tune-diffreg", '"s3://BUCKET', "karpenter.sh/"):
        assert TEXT.count(name) == 1


def test_the_token_comes_from_a_secret_and_no_pod_restarts_by_itself(job: dict[str, Any]) -> None:
    spec = job["spec"]
    secret = "tune-diffreg-token"
    assert spec["rayClusterSpec"]["authOptions"] == {"mode": "token", "secretName": secret}
    assert f"kubectl create secret generic {secret} --from-file=auth_token=" in TEXT
    assert {pod["restartPolicy"] for pod in pods(job)} == {"Never"}
    assert spec["backoffLimit"] > 0  # a job that fails goes on with its study
    assert spec["shutdownAfterJobFinishes"]


def test_its_command_exists_and_reads_the_file_that_is_mounted(job: dict[str, Any]) -> None:
    program, command, study, *options = job["spec"]["entrypoint"].split()
    assert (program, command) == ("tune-diffreg", "run")
    said = run_cli(command, "--help").stdout
    assert all(option in said for option in options if option.startswith("--"))
    [mount] = [m for m in pods(job)[0]["containers"][0]["volumeMounts"] if m["name"] == "study"]
    assert study == f"{mount['mountPath']}/study.yaml"
    assert "configmap tune-diffreg-study --from-file=study.yaml=search_spaces/digits.yaml" in TEXT


def test_the_image_has_the_ray_that_the_project_is_tested_with(job: dict[str, Any]) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    pinned = re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert pinned is not None
    assert f"FROM rayproject/ray:{pinned[1]}-py311" in dockerfile
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned[1]
    for line in re.findall(r"^COPY .*?users (.+) /", dockerfile, re.MULTILINE):
        assert all((ROOT / name).exists() for name in line.split())
