"""A training that is stopped at any step and goes on in another process is the same to the bit."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from tests.conftest import tiny_study
from tests.diffusion.test_trainer import ALL_KNOBS
from tune_diffreg.search.trial import Trial, load_materials

STEPS = 24
BATCH = 32


def go_on(folder: Path, until: int) -> str:
    """In a process of its own: from the checkpoint in `folder` to step `until`."""
    torch.manual_seed(hash(folder) % 1000)  # each process has a random state of its own
    study = tiny_study(*ALL_KNOBS)
    _, materials = load_materials(study, threads=1)
    trial = Trial(study, materials, torch.device("cpu"))
    trial.load(folder)
    trial.train(until=until * BATCH)
    trial.save(folder)
    digest = hashlib.sha256()
    for leaf in torch.utils._pytree.tree_leaves(trial.trainer.state_dict()):
        plain = leaf.contiguous().numpy().tobytes() if isinstance(leaf, torch.Tensor) else b""
        digest.update(plain or repr(leaf).encode())
    return digest.hexdigest()


@pytest.mark.slow
def test_processes_that_take_over_from_each_other_change_no_bit(tmp_path: Path) -> None:
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:

        def trained(folder: str, until: int) -> str:
            return processes.submit(go_on, tmp_path / folder, until).result()

        straight = trained("straight", STEPS)
        for stop in sorted(random.Random(0).sample(range(1, STEPS), 3)):
            assert trained("stopped", stop) != straight
        assert trained("stopped", STEPS) == straight
