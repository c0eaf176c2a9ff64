"""Fréchet distance and nearest neighbours beside other implementations, in one run.

    python -m benchmarks.evaluation

The Fréchet distance of 1,000 features of 2,048 numbers, as of Inception, against a reference whose
statistics are known beforehand, as in a trial. Sets are the same up to a scale and a shift, so that
the distance has a closed form, against which each result is held.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import scipy.linalg
import torch
from sklearn.neighbors import NearestNeighbors
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torchmetrics.image.fid import _compute_fid

from benchmarks.output import device_name, write_result
from tune_diffreg.evaluation import GaussianStatistics, Targets, frechet_distance
from tune_diffreg.seeds import generator

SAMPLES, DIMENSIONS = 1000, 2048
SCALE, SHIFT = 1.5, 0.01
QUERIES, TARGETS, SIDE = 1000, 50_000, 32
_TURNS = 3
_SECONDS, _GIB = 10.0, 2.0


def frechet_rows() -> list[dict[str, Any]]:
    """Each implementation's seconds, and how far it is from the closed form."""
    draw = generator(0, "features")
    mixing = torch.randn(DIMENSIONS, DIMENSIONS, generator=draw, dtype=torch.float64)
    first = torch.randn(SAMPLES, DIMENSIONS, generator=draw, dtype=torch.float64) @ mixing
    second = first.mean(0) + SCALE * (first - first.mean(0)) + SHIFT
    trace = float(first.T.cov().trace())
    exact = (SCALE - 1) ** 2 * trace + DIMENSIONS * SHIFT**2
    reference = GaussianStatistics.of(first)
    _ = reference.root  # made once a study
    known = fid_features_to_statistics(first)
    mean, covariance = first.mean(0), first.T.cov()

    def of_torch_fidelity() -> float:
        statistics = fid_features_to_statistics(second)
        found = fid_statistics_to_metric(known, statistics, verbose=False)
        return float(found["frechet_inception_distance"])

    def of_torchmetrics() -> float:
        return float(_compute_fid(mean, covariance, second.mean(0), second.T.cov()))

    def of_scipy() -> float:
        """The formula as most copies of the first implementation have it."""
        apart = (mean - second.mean(0)).square().sum()
        other = second.T.cov().numpy()
        root = scipy.linalg.sqrtm(covariance.numpy() @ other)
        return float(apart + trace + np.trace(other) - 2 * np.trace(np.real(root)))

    return _measured(
        {
            "ours": lambda: frechet_distance(reference, second),
            "torch-fidelity": of_torch_fidelity,
            "torchmetrics": of_torchmetrics,
            "SciPy's sqrtm": of_scipy,
        },
        lambda found: {"relative_error": float(f"{abs(found - exact) / exact:.2g}")},
    )


def neighbor_rows() -> list[dict[str, Any]]:
    """Two nearest of 50,000 images to each of 1,000, exact copies among them."""
    draw = generator(0, "images")
    shape = (TARGETS, 3, SIDE, SIDE)
    targets = torch.randint(0, 256, shape, generator=draw, dtype=torch.uint8)
    queries = torch.randint(0, 256, (QUERIES, *shape[1:]), generator=draw, dtype=torch.uint8)
    queries[: QUERIES // 10] = targets[: QUERIES // 10]
    before = _gib()
    (row,) = _measured(
        {"ours": lambda: Targets(targets).nearest(queries, 2)},
        lambda found: {"copies_at_distance_0": int((found.distance[:, 0] == 0).sum())},
    )
    row["gib"] = round(_gib() - before, 2)
    flat = targets.flatten(1).float().numpy()

    def of_sklearn() -> Any:
        index = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(flat)
        return index.kneighbors(queries.flatten(1).float().numpy())[0]

    (peer,) = _measured(
        {"scikit-learn, float32": of_sklearn},
        lambda found: {"copies_at_distance_0": int((found[:, 0] == 0).sum())},
    )
    return [row, {**peer, "gib": None}]


def _measured(
    tools: dict[str, Callable[[], Any]], about: Callable[[Any], dict[str, Any]]
) -> list[dict[str, Any]]:
    """The middle of each tool's times; tools take turns."""
    times: dict[str, list[float]] = {name: [] for name in tools}
    found = {}
    for _ in range(_TURNS):
        for name, tool in tools.items():
            start = time.perf_counter()
            found[name] = tool()
            times[name].append(time.perf_counter() - start)
            print(f"{name}: {times[name][-1]:.2f} s", flush=True)
    return [
        {"tool": name, "seconds": round(median(times[name]), 3), **about(found[name])}
        for name in tools
    ]


def _gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Measures, then writes the result."""
    neighbors, frechet = neighbor_rows(), frechet_rows()
    ours, *peers = frechet
    faster = round(min(peer["seconds"] for peer in peers) / ours["seconds"], 1)
    best = min(peer["relative_error"] for peer in peers)
    nearest = neighbors[0]
    targets = {
        "fastest peer's time over ours": {"target": 10, "measured": faster, "met": faster >= 10},
        "our relative error, at most the best peer's": {
            "target": best,
            "measured": ours["relative_error"],
            "met": ours["relative_error"] <= best,
        },
        "seconds for 1,000 images against 50,000": {
            "target": _SECONDS,
            "measured": nearest["seconds"],
            "met": nearest["seconds"] <= _SECONDS,
        },
        "GiB for them": {
            "target": _GIB, "measured": nearest["gib"], "met": nearest["gib"] <= _GIB
        },
    }  # fmt: skip
    rows = [
        {"part": part, **row}
        for part, found in (("frechet", frechet), ("neighbors", neighbors))
        for row in found
    ]
    content = {"device": device_name(), "threads": torch.get_num_threads(), "rows": rows}
    write_result("evaluation", {**content, "targets": targets})


if __name__ == "__main__":
    main()
