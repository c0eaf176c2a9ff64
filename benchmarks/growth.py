"""What the coordinator costs as a study grows: journal and Optuna's storage on the disk, no Ray.

    python -m benchmarks.growth

A study of each size is written first; then it is resumed, and fifty trials more are timed.
"""

from __future__ import annotations

import json
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import optuna
import psutil
from optuna.trial import TrialState

from benchmarks.curves.measure import sobol_configurations
from benchmarks.orchestration import study_of
from benchmarks.output import device_name, write_result
from tune_diffreg.results import StudyFolder
from tune_diffreg.search.coordinator import Coordinator
from tune_diffreg.search.proposals import Proposals, to_optuna
from tune_diffreg.search.storage import open_storage
from tune_diffreg.study import Study

SIZES = (100, 1_000, 10_000)
SAMPLERS = {"tpe": 10_000, "random": 10_000, "gp": 1_000}
"""Each with the largest size: a Gaussian process costs the cube of its complete trials."""
_REPORTS = 4
_MEASURED = 50
"""Trials that are timed at each size."""


def at_size(trials: int, sampler: str) -> dict[str, Any]:
    """Milliseconds of a coordinator that knows `trials` trials already."""
    study = study_of(trials + _MEASURED, _REPORTS, sampler)
    with tempfile.TemporaryDirectory() as scratch:
        folder = StudyFolder(Path(scratch), study.name)
        folder.create(study)
        with ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), max_tasks_per_child=1
        ) as processes:  # one process each, so that memory is the coordinator's alone
            processes.submit(_prefill, study, folder, trials).result()
            measured = processes.submit(_drive, study, folder).result()
    return {"trials": trials, "sampler": sampler, **measured}


def _drive(study: Study, folder: StudyFolder) -> dict[str, float]:
    """What a resume costs, and the trials after it."""
    at_first = psutil.Process().memory_info().rss
    start = time.monotonic()
    coordinator = Coordinator(study, folder, lambda _: None)
    restored = time.monotonic() - start
    asking = reporting = 0.0
    reports = 0
    while True:
        start = time.monotonic()
        assignment = coordinator.next_trial()
        asking += time.monotonic() - start
        if assignment is None:
            break
        start = time.monotonic()
        for rung in study.rungs():
            reports += 1
            scores = _scores(assignment.trial_id, rung)
            if not coordinator.report(assignment.trial_id, rung, 1.0, scores).goes_on:
                break
        reporting += time.monotonic() - start
    return {
        "proposal_ms": round(1e3 * asking / _MEASURED, 1),
        "report_ms": round(1e3 * reporting / reports, 1),
        "resume_s": round(restored, 2),
        "memory_mb": round((psutil.Process().memory_info().rss - at_first) / 2**20),
        "journal_mb": round(folder.journal.stat().st_size / 2**20, 2),
    }


def _scores(trial_id: str, images: int) -> dict[str, float]:
    """As many numbers as a trial reports, different for each."""
    value = 1000 / images + int(trial_id[1:]) * 0.618 % 1
    names = ("memorized_fraction", "heldout_memorized_fraction", "validation_loss", "train_loss")
    return {"fd_digits_cnn": value, "loss_gap": value / 7, **dict.fromkeys(names, value / 3)}


def _prefill(study: Study, folder: StudyFolder, trials: int) -> None:
    """A study of so many trials, one in eight complete, in Optuna's storage and in the journal."""
    Proposals(study, folder.proposals, set())  # makes Optuna's study
    known = optuna.load_study(study_name=study.name, storage=open_storage(folder.proposals))
    distributions = {path: to_optuna(path, d) for path, d in study.search.space.items()}
    events: list[dict[str, Any]] = [{"event": "session", "provenance": {}}]
    for number, values in enumerate(sobol_configurations(study, trials)):
        name, complete = f"t{number:04d}", number % 8 == 0
        reached = study.rungs() if complete else study.rungs()[:1]
        last = _scores(name, reached[-1])["fd_digits_cnn"]
        known.add_trial(
            optuna.trial.create_trial(
                state=TrialState.COMPLETE if complete else TrialState.PRUNED,
                params=values,
                distributions={path: distributions[path] for path in values},
                value=last,
                intermediate_values={r: _scores(name, r)["fd_digits_cnn"] for r in reached},
            )
        )
        start = {"values": values, "baseline": None, "control": False, "proposal": number}
        events.append({"event": "start", "trial": name, **start})
        for rung in reached:
            decision = "complete" if rung == study.rungs()[-1] else "continue"
            report = {"images": rung, "seconds": 1.0, "scores": _scores(name, rung)}
            decided = {"decision": decision if complete else "prune"}
            events.append({"event": "report", "trial": name, **report, **decided})
        state = "complete" if complete else "pruned"
        events.append({"event": "end", "trial": name, "state": state, "reason": None})
    lines = (json.dumps({"time": 0.0, **event}) for event in events)
    folder.journal.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measures every size and writes the result."""
    rows = []
    for sampler, most in SAMPLERS.items():
        for trials in (size for size in SIZES if size <= most):
            rows.append(at_size(trials, sampler))
            print(rows[-1], flush=True)
    write_result("growth", {"device": device_name(), "rows": rows, "targets": {}})


if __name__ == "__main__":
    main()
