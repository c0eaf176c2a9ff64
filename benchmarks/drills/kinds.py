"""All kinds of drills: what is done, to which study, and what it is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.drills import checkpoints, clock, nodes, processes, server, storage
from benchmarks.drills.scene import ONE_WORKER, SMALL, Scene

# What a cluster of two nodes works at for a while.
LONG = (*SMALL, "training.images=7680", "halving.first_rung=1920", "search.trials=6")


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        act: starts a study, does to it what happens, and has it go on to its end.
        overrides: of the drill's study.
        straight: of the study that nothing happens to.
        exact: whether both must be equal in everything; with several workers the order of
            decisions is not fixed, and each trial must be there once and have ended well.
        to_fail: trials that are meant to fail.
        needs_root: whether it mounts file systems.
    """

    name: str
    act: Callable[[Scene], None]
    overrides: tuple[str, ...] = (*SMALL, ONE_WORKER)
    straight: tuple[str, ...] = (*SMALL, ONE_WORKER)
    exact: bool = True
    to_fail: frozenset[str] = frozenset()
    needs_root: bool = False


def nothing(scene: Scene) -> None:
    """Nothing happens: a study runs to its end."""
    scene.ends(scene.run(), 0)


# In place of a baseline, since baselines set no standard for the other trials.
_DIVERGING = "search.baselines.published={optimizer.learning_rate: 1.0, optimizer.weight_decay: 60}"
_SECOND = frozenset({"t0001"})
"""That baseline, as a trial."""

_OWN_MODEL = (
    *SMALL,
    ONE_WORKER,
    "model={in_channels: 1, sample_size: 8, factory: 'benchmarks.drills.models:unet'}",
    "search.baselines.published={}",
)
_EATING = (
    *_OWN_MODEL,
    "search.baselines.published={model.arguments: {mib_a_step: 64}}",
    "resources.memory=2",
)

KINDS = (
    Kind("driver killed", processes.driver_killed),
    Kind("trial killed", processes.actor_killed),
    Kind("Ctrl-C", processes.interrupted_once),
    Kind("Ctrl-C twice", processes.interrupted_twice),
    Kind("MLflow down", server.down),
    Kind("MLflow killed and restarted", server.restarted),
    Kind("checkpoint cut short", checkpoints.cut_short),
    Kind("checkpoint with flipped bits", checkpoints.flipped_bits),
    Kind(
        "trial diverges (NaN)",
        nothing,
        overrides=(*SMALL, ONE_WORKER, _DIVERGING),
        to_fail=_SECOND,
    ),
    Kind("trial hangs", processes.hung),
    Kind("trial eats memory", nothing, _EATING, _OWN_MODEL, to_fail=_SECOND),
    Kind("clock set back", clock.set_back),
    Kind("clock set back and driver killed", clock.set_back_and_killed),
    Kind("storage read-only for a while", storage.read_only_for_a_while, needs_root=True),
    Kind("storage read-only for good", storage.read_only_for_good, needs_root=True),
    Kind("storage full for a while", storage.full_for_a_while, needs_root=True),
    Kind("storage full for good", storage.full_for_good, needs_root=True),
    Kind("raylet of a node killed", nodes.raylet_killed, LONG, LONG, exact=False),
    Kind("head node and driver killed", nodes.head_killed, LONG, LONG, exact=False),
    Kind("head node killed", nodes.head_killed_under_the_driver, LONG, LONG, exact=False),
    Kind("node preempted with notice", nodes.preempted, LONG, LONG, exact=False),
)
