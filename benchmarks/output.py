"""Where results go: one JSON file a benchmark, from which the README's tables are made."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from tune_diffreg.files import write_atomically
from tune_diffreg.results import versions
from tune_diffreg.results.formats import to_json

RESULTS = Path(__file__).parent / "results"


def device_name(device: torch.device | None = None) -> str:
    """The machine in words that name no place."""
    cores = f"{os.cpu_count()} CPU cores, {platform.machine()}"
    if device is None or device.type == "cpu":
        return cores
    return f"{torch.cuda.get_device_name(device)}, {cores}"


def write_result(benchmark: str, content: dict[str, Any]) -> None:
    """Writes `results/<benchmark>.json`, and says on the screen which targets are met."""
    RESULTS.mkdir(exist_ok=True)
    whole = {"benchmark": benchmark, "versions": versions(), **content}
    write_atomically(RESULTS / f"{benchmark}.json", to_json(whole))
    for name, target in content["targets"].items():
        met = "met" if target["met"] else "not met"
        print(f"{name}: {target['measured']} (target {target['target']}): {met}")
