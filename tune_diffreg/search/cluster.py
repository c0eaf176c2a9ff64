"""Ray, started or joined, without its words on our screen."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from tune_diffreg.errors import InputError
from tune_diffreg.interrupts import sigterm_as_it_was
from tune_diffreg.memory import GIB, machine_memory
from tune_diffreg.study import Study

_PATIENCE_SECONDS = 5.0
_WAITING_TRIALS = 2

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0 the older printer prints nothing at all
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the journal and MLflow hold the results
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # a process that died is told of in a line
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # the controller stops trials itself
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "86400",  # Ray's snapshots are never read
    "RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE": "1",  # else Ray would restart such trials itself
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


@contextmanager
def ray_cluster(address: str | None) -> Iterator[None]:
    """A connection to the cluster at `address`, or a Ray of our own on this machine.

    Raises:
        InputError: nothing answers at `address`.
    """
    os.environ.update(_QUIET)
    import ray

    _log_with_the_others(logging.getLogger("ray"))
    local = {} if address else {"include_dashboard": False, "_memory": machine_memory()}
    try:
        # "local": not whatever cluster happens to run on this machine
        with _silent_stderr(), sigterm_as_it_was():  # Ray's own handler exits without a word
            ray.init(
                address=address or "local",
                log_to_driver=False,
                configure_logging=False,
                **local,
            )
    except (ConnectionError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        hint = "; if it asks for a token, set RAY_AUTH_MODE=token" if address else ""
        raise InputError(f"no Ray at {address or 'this machine'}: {reason}{hint}") from None
    _log_what_ray_says()
    try:
        yield
    finally:
        ray.shutdown()


def _log_what_ray_says() -> None:
    """Sends Ray's own log messages where all others go, and not to the screen."""
    logger = logging.getLogger("ray")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    logger.propagate = True


def _log_with_the_others(logger: logging.Logger) -> None:
    """Ray has a handler of its own, to the screen, where it says at length how a trial died."""
    logger.handlers.clear()
    logger.propagate = True
    logger.setLevel(logging.ERROR)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Ray's C++ part writes each of its tries to connect straight to file descriptor 2."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def check_cluster(study: Study, address: str | None) -> None:
    """Looks, without starting or joining Ray, whether a study can run there.

    Raises:
        InputError: nothing answers at `address`, or this machine cannot hold one trial.
    """
    if address is None:
        concurrent_trials_here(study)
    else:
        check_address(address)


def check_address(address: str) -> None:
    """Raises InputError where nothing answers, since Ray itself would try for minutes."""
    if address.startswith(("http://", "https://")):
        raise InputError(
            f"--address {address} is that of a Jobs API, which `submit` and `resume` take; here it "
            "is host:port, or 'auto' for the cluster on this machine"
        )
    if address != "auto":  # Ray itself knows where a cluster on this machine is
        host, _, port = address.removeprefix("ray://").rpartition(":")
        try:
            socket.create_connection((host, int(port)), _PATIENCE_SECONDS).close()
        except (OSError, ValueError, OverflowError) as error:
            raise InputError(
                f"no Ray cluster at {address} ({error}); give host:port, or 'auto' for the one "
                "on this machine"
            ) from None


def concurrent_trials_here(study: Study) -> int:
    """How many trials this machine holds at a time, at most what the study allows.

    Raises:
        InputError: not a single one.
    """
    import torch

    here = {
        "CPU": os.cpu_count() or 1,
        "GPU": torch.cuda.device_count(),
        "memory": machine_memory(),
    }
    held = _held(study, here)
    if held < 1:
        resources = study.resources
        memory = f" and {resources.memory:g} GiB of memory" if resources.memory else ""
        raise InputError(
            f"resources: a trial needs {resources.cpu} CPU cores and {resources.gpu:g} GPUs"
            f"{memory}, more than this machine has"
        )
    return _allowed(study, held)


def concurrent_trials(study: Study) -> int:
    """How many trials the connected cluster holds now, at most what the study allows."""
    import ray

    return _allowed(study, _held(study, ray.cluster_resources()))


def trial_slots(study: Study, address: str | None) -> Callable[[], int]:
    """A function that says how many trials to have under way, asked again and again.

    A cluster may grow: there, a few more than it holds now wait, so that its autoscaler sees that
    there is more to do, and not all, so that proposals can learn from the first results.
    """
    if address is None:
        here = concurrent_trials_here(study)
        return lambda: here
    return lambda: _allowed(study, concurrent_trials(study) + _WAITING_TRIALS)


def needs_of(study: Study) -> dict[str, float]:
    """What a trial takes of a machine, in Ray's words; memory in bytes."""
    resources = study.resources
    needs = {"CPU": resources.cpu, "GPU": resources.gpu}
    return needs if resources.memory is None else needs | {"memory": round(resources.memory * GIB)}


def _held(study: Study, available: Mapping[str, float]) -> int:
    needs = needs_of(study)
    return min(int(available.get(kind, 0) / need) for kind, need in needs.items() if need)


def _allowed(study: Study, trials: int) -> int:
    return min(trials, study.search.concurrent or trials, study.search.trials)
