"""Replays searches on a virtual clock: what they need to find a configuration that is truly good.

    python -m benchmarks.search [--seeds 50] [--processes 2]

All arms search the digits space with the study file's rungs, over learning curves that a surrogate
makes from measured ones (`benchmarks/curves`, `benchmarks/surrogate.py`), on 1 to 64 virtual
workers. What counts is the truth about the trial that a search would name if it were asked at each
moment: its score without its seed's luck. Stopped and started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from benchmarks.arms import Multivariate, Ours, Rays, asha, run_to_the_end
from benchmarks.curves.measure import STUDY, sobol_configurations
from benchmarks.resumable import complete
from benchmarks.search_report import write_search
from benchmarks.simulation import Arm, Cluster, Trace, simulate
from benchmarks.surrogate import COPIES, OBJECTIVE, Surrogate, Table, encode
from tune_diffreg.search.proposals import Proposals
from tune_diffreg.study import Study, read_study

RUNS = Path(__file__).parent / "results" / "search_runs.csv"

WORKERS = (1, 4, 16, 64)
SHARES = (0.01, 0.05, 0.10)
LENGTHS = 64
"""Images that an arm may see, in full trainings."""
RANDOM_LENGTHS = 256
"""Random search is given more, so that its times can be compared and not only bounded."""
_POOL = 4096
GRID = tuple(round(LENGTHS * k / 32, 2) for k in range(1, 33))
"""Where the regret is noted, in full trainings."""

# The baselines of a study are measuring instruments and the same for all; no arm has them here.
_COMMON = ("search.baselines={}", "search.trials=100000", "tracking.uri=null")


def study_for(constrained: bool, *overrides: str) -> Study:
    """The digits study as the arms search it."""
    free = () if constrained else ("objective.constraints={}",)
    return read_study(STUDY, [*_COMMON, *free, *overrides])


def _ours(*overrides: str, proposals: type[Proposals] = Proposals) -> Callable[[bool, int], Arm]:
    def make(constrained: bool, seed: int) -> Arm:
        images = LENGTHS * study_for(constrained).training.images
        study = study_for(constrained, f"search.images={images}", f"search.seed={seed}", *overrides)
        return Ours(study, proposals)

    return make


def _rays(sampler: Any, pruned: bool, **settings: Any) -> Callable[[bool, int], Arm]:
    def make(constrained: bool, seed: int) -> Arm:
        study = study_for(constrained)
        scheduler = asha(study, **settings) if pruned else run_to_the_end()
        return Rays(study, sampler(seed=seed), scheduler)

    return make


TPE, RANDOM = optuna.samplers.TPESampler, optuna.samplers.RandomSampler
ARMS: dict[str, Callable[[bool, int], Arm]] = {
    "random search": _rays(RANDOM, pruned=False),
    "random + ASHA": _rays(RANDOM, pruned=True),
    "stock recipe": _rays(TPE, pruned=True),
    "stock recipe, reduction factor 3": _rays(TPE, pruned=True, reduction_factor=3),
    "ours, stop": _ours("halving.variant=stop"),
    "ours, promote": _ours("halving.variant=promote"),
}
SAMPLER_ARMS = {
    f"ours, {variant}, {sampler}": _ours(f"halving.variant={variant}", f"search.sampler={sampler}")
    for variant in ("stop", "promote")
    for sampler in ("random", "qmc", "cmaes")
}
# Minutes a run, where the others take seconds: in one variant only, and last.
SAMPLER_ARMS["ours, promote, gp"] = _ours("halving.variant=promote", "search.sampler=gp")
# What the defaults of the study file were chosen among.
CHOICE_ARMS = {
    "ours, promote, first rung 640": _ours("halving.first_rung=640"),
    "ours, promote, first rung 1080, factor 4": _ours(
        "halving.first_rung=1080", "halving.reduction_factor=4"
    ),
    "ours, promote, no controls": _ours("halving.controls=0"),
    "ours, promote, multivariate TPE": _ours(proposals=Multivariate),
}
VARIED_AT = 16


@dataclass(frozen=True)
class Run:
    """One simulation."""

    arm: str
    workers: int
    constrained: bool
    seed: int


def runs(seeds: int) -> Iterator[Run]:
    """All simulations: those that targets are set for first, Gaussian processes last."""
    for workers in sorted(WORKERS, key=lambda w: w != VARIED_AT):
        for constrained in (True, False):
            for arm in ARMS:
                yield from (Run(arm, workers, constrained, seed) for seed in range(seeds))
    for arm in {**CHOICE_ARMS, **SAMPLER_ARMS}:
        yield from (Run(arm, VARIED_AT, True, seed) for seed in range(seeds))


@dataclass(frozen=True)
class Truth:
    """What is good in this space: the surrogate asked without luck, on a dense sample."""

    bound: float | None
    best: float
    feasible: float
    thresholds: dict[float, float]


@cache
def surrogate() -> Surrogate:
    """Fitted once a process."""
    return Surrogate(Table.read())


@cache
def truth(constrained: bool) -> Truth:
    """The best value, the feasible share, and the values of the best shares of the feasible."""
    study = study_for(constrained)
    pool = sobol_configurations(study, _POOL, seed=1)
    scores = surrogate().truth(np.array([encode(values) for values in pool]))
    values, copies = scores[OBJECTIVE][:, -1], scores[COPIES][:, -1]
    bound = study.objective.constraints[COPIES].max if constrained else None
    feasible = np.ones(len(values), bool) if bound is None else copies <= bound
    return Truth(
        bound,
        float(values[feasible].min()),
        float(feasible.mean()),
        {share: float(np.quantile(values[feasible], share)) for share in SHARES},
    )


def play(run: Run) -> list[dict[str, Any]]:
    """Simulates and sums up one run as a row; infinite where something was not reached."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = truth(run.constrained)
    full = study_for(run.constrained).training.images
    lengths = RANDOM_LENGTHS if run.arm == "random search" else LENGTHS
    arm = {**ARMS, **SAMPLER_ARMS, **CHOICE_ARMS}[run.arm](run.constrained, run.seed)
    cluster = Cluster(run.workers, lengths * full)
    trace = simulate(arm, surrogate(), cluster, known.bound, run.seed)
    row: dict[str, Any] = {**vars(run), "images": cluster.images, "trials": trace.trials}
    for share, threshold in known.thresholds.items():
        hit = next((i for i, value in enumerate(trace.value) if value <= threshold), None)
        out = max((i for i, value in enumerate(trace.value) if value > threshold), default=-1)
        stay = out + 1 if out + 1 < len(trace.value) else None
        percent = f"{share:.0%}".rstrip("%")
        row[f"top_{percent}_images"] = np.inf if hit is None else trace.images[hit]
        row[f"top_{percent}_seconds"] = np.inf if hit is None else round(trace.seconds[hit], 1)
        row[f"stay_{percent}_images"] = np.inf if stay is None else trace.images[stay]
    for length in GRID:
        row[f"regret_{length:g}"] = round(_value_at(trace, length * full) - known.best, 3)
    return [row]


def _value_at(trace: Trace, images: float) -> float:
    """The true value of what would have been named by then; infinite if nothing good."""
    past = np.searchsorted(trace.images, images, side="right")
    return trace.value[past - 1] if past else float("inf")


def main() -> None:
    """Simulates what is missing, then writes the table, the targets and the plot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--processes", type=int)
    arguments = parser.parse_args()

    RUNS.parent.mkdir(exist_ok=True)
    key = ("arm", "workers", "constrained", "seed")
    rows = complete(RUNS, runs(arguments.seeds), key, play, arguments.processes)
    write_search(rows, {flag: truth(flag) for flag in (True, False)})


if __name__ == "__main__":
    main()
