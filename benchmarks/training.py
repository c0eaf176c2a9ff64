"""Images per second in training: our loop, and two that are widely used, in one run.

    python -m benchmarks.training [--skip LOOP ...]

On a CPU the digits U-Net on one thread; on a GPU the 35.7 M-parameter U-Net of the DDPM paper on
random 32x32 images in bfloat16, the share of the limit that its matrix products set, and several
small trials packed on the card. Loops take turns, and the middle of their turns counts. It needs
torch, torchvision, diffusers, SciPy, pydantic and PyYAML, and denoising-diffusion-pytorch for the
last peer.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.loops import LOOPS, Loop, Setting, ours, wait_for
from benchmarks.output import device_name, write_result
from benchmarks.statistics import interval, median, paired_ratios
from tune_diffreg.diffusion.device import bound_memory
from tune_diffreg.seeds import generator
from tune_diffreg.study import Resources, TrialConfig, read_study

SPACES = Path(__file__).parent.parent / "search_spaces"
GFLOP_PER_IMAGE = 37.3
"""Of one training step of the CIFAR-10 U-Net: three times 6.22 GMAC, forward and backward."""
PACKED = (1, 2, 4, 8)
_PACKAGE = "denoising-diffusion-pytorch"
_TURNS = 25
_TARGETS = {"cpu": 1.2, "cuda": 3.0}
_SHARE_TARGET = 0.45


def setting_on(device: torch.device, scratch: Path) -> Setting:
    """The small model on a CPU, the DDPM paper's on a GPU, on random images."""
    name = "digits" if device.type == "cpu" else "cifar10"
    config = TrialConfig.model_validate(
        read_study(SPACES / f"{name}.yaml").model_dump(include=set(TrialConfig.model_fields))
    )
    shape = (4096, config.model.in_channels, config.model.sample_size, config.model.sample_size)
    draw = generator(0, "random images")
    images = torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)
    return Setting(config, images, device, scratch)


def steps_in(loop: Loop, seconds: float) -> int:
    """How many steps take about so many seconds, compiling aside."""
    loop(5)
    start = time.perf_counter()
    loop(5)
    return max(5, int(seconds / (time.perf_counter() - start) * 5))


def speed(loop: Loop, steps: int, batch_size: int) -> float:
    """Images per second over so many steps."""
    start = time.perf_counter()
    loop(steps)
    return steps * batch_size / (time.perf_counter() - start)


def compare(setting: Setting, names: list[str], seconds: float) -> list[dict[str, Any]]:
    """A row a loop, from turns of so many seconds.

    They are short, so that a slow minute of the machine hits all loops alike.
    """
    loops = {name: LOOPS[name](setting) for name in names}
    steps = {name: steps_in(loop, seconds) for name, loop in loops.items()}
    turns: dict[str, list[float]] = {name: [] for name in names}
    for number in range(_TURNS):
        first = number % len(names)  # each is first as often
        for name in (*names[first:], *names[:first]):
            turns[name].append(speed(loops[name], steps[name], setting.batch_size))
        found = ", ".join(f"{turns[name][-1]:,.0f}" for name in names)
        print(f"turn {number + 1} of {_TURNS}, images/s: {found}", flush=True)
    return [
        {
            "loop": name,
            "images_per_second": round(median(found), 1),
            "turns": [round(x) for x in found],
        }
        for name, found in turns.items()
    ]


def matmul_rate(device: torch.device, side: int = 8192, repeats: int = 20) -> float:
    """FLOP/s of a square product in bfloat16."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in "ab")
    for _ in range(3):
        a @ b
    wait_for(device)
    start = time.perf_counter()
    for _ in range(repeats):
        a @ b
    wait_for(device)
    return 2 * side**3 * repeats / (time.perf_counter() - start)


def packed(trials: int, seconds: float, device: str = "cuda") -> float:
    """Images per second of so many digits trials together on one card."""
    spawn = get_context("spawn")
    ready, results = spawn.Barrier(trials), spawn.Queue()
    processes = [
        spawn.Process(target=_small_trial, args=(trials, seconds, device, ready, results))
        for _ in range(trials)
    ]
    for process in processes:
        process.start()
    found: list[float] = [results.get(timeout=300) for _ in processes]
    for process in processes:
        process.join()
    return sum(found)


def _small_trial(trials: int, seconds: float, device: str, ready: Any, results: Any) -> None:
    if device == "cuda":
        bound_memory(Resources(gpu=1 / trials))
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        small = setting_on(torch.device("cpu"), Path(scratch))
        loop = ours(replace(small, device=torch.device(device)))
        loop(50)  # compiles
        steps = steps_in(loop, seconds)
        ready.wait(timeout=300)
        results.put(speed(loop, steps, small.batch_size))


def main() -> None:
    """Measures, then writes the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skip", nargs="*", default=[], choices=list(LOOPS))
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(1)
    if find_spec("denoising_diffusion_pytorch") is None and _PACKAGE not in arguments.skip:
        print(f"{_PACKAGE} is not installed (pip install -e '.[bench]'), and is left out")
        arguments.skip.append(_PACKAGE)
    names = [name for name in LOOPS if name not in arguments.skip]
    with tempfile.TemporaryDirectory() as scratch:
        rows = compare(setting_on(device, Path(scratch)), names, seconds=1.5)
    turns = {row["loop"]: row["turns"] for row in rows}
    for row in rows:  # the figure that a target is held against
        ratios = paired_ratios(turns["ours"], row["turns"])
        row["ours_is_faster_by"] = round(median(ratios), 3)
        row["interval"] = [round(end, 3) for end in interval(ratios, median)]
    targets = {}
    for peer in ("diffusers train_unconditional", _PACKAGE):
        if peer in turns:
            ratios = paired_ratios(turns["ours"], turns[peer])
            targets[f"ours against {peer}"] = _target(_TARGETS[device.type], median(ratios))
    for name, loop in (
        ("streamed against held", "ours, streamed from a file"),
        ("five averages against one", "ours, with five averages"),
    ):
        if loop in turns:
            targets[name] = _target(0.95, median(paired_ratios(turns[loop], turns["ours"])))
    content: dict[str, Any] = {"device": device_name(device), "rows": rows}
    if device.type == "cuda":
        rate = matmul_rate(device)
        share = median(turns["ours"]) * GFLOP_PER_IMAGE * 1e9 / rate
        content["matmul_tflops"] = round(rate / 1e12)
        targets["share of the limit"] = _target(_SHARE_TARGET, share)
        content["packing"] = [
            {"trials": n, "images_per_second": round(packed(n, seconds=8))} for n in PACKED
        ]
    write_result(f"training_{device.type}", {**content, "targets": targets})


def _target(target: float, measured: float) -> dict[str, Any]:
    return {"target": target, "measured": round(measured, 3), "met": measured >= target}


if __name__ == "__main__":
    main()
