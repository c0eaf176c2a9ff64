"""Many independent jobs whose rows make one CSV; stopped and started again, it goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from tune_diffreg.files import write_atomically

Job = TypeVar("Job")
Rows = list[dict[str, Any]]


def complete(
    path: Path,
    jobs: Iterable[Job],
    key: Sequence[str],
    work: Callable[[Job], Rows],
    processes: int | None = None,
) -> pd.DataFrame:
    """The table in `path` with the rows of all jobs; what it lacks is made, in several processes.

    Args:
        key: attributes of a job, and columns of its rows, by which it is known to be done.
        work: the rows of one job; a function of a module, since it goes to other processes.
    """
    rows: list[Any] = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {tuple(row[name] for name in key) for row in rows}
    missing = [job for job in jobs if tuple(getattr(job, name) for name in key) not in done]
    print(f"{len(done)} are in {path.name}, {len(missing)} to do", flush=True)
    spawn = get_context("spawn")
    with ProcessPoolExecutor(processes or os.cpu_count(), mp_context=spawn) as pool:
        waiting = [pool.submit(work, job) for job in missing]
        for number, finished in enumerate(as_completed(waiting), 1):
            rows += finished.result()
            write_atomically(path, pd.DataFrame(rows).to_csv(index=False))
            print(f"{number} of {len(missing)}", flush=True)
    return pd.DataFrame(rows)
