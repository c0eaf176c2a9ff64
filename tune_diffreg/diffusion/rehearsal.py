"""A model of one's own goes through all that a trial will ask of it, before a search is started."""

from __future__ import annotations

import multiprocessing
import signal
from collections import Counter
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import nn

from tune_diffreg.diffusion.branches import residual_branches
from tune_diffreg.diffusion.model import build_model, try_out
from tune_diffreg.diffusion.trainer import Diverged, Trainer
from tune_diffreg.errors import InputError
from tune_diffreg.factory import in_a_line
from tune_diffreg.memory import MemoryBound
from tune_diffreg.study import TrialConfig

_CPU = torch.device("cpu")
_STEPS = 2
_BATCH = 3  # and not the 2 of the call before, for which a model may have been made


def check_models(configs: Sequence[TrialConfig], memory: float | None = None) -> None:
    """`check_model` for all, in a process of its own: what a model does there costs no other.

    Args:
        memory: GiB that the process may take; None is no bound.

    Raises:
        InputError: as there, or the process took more memory, or died.
    """
    own = [config for config in configs if config.model.factory is not None]
    if not own:
        return
    spawn = multiprocessing.get_context("spawn")
    receiver, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_say_what_fails, args=(own, memory, sender), daemon=True)
    process.start()
    sender.close()  # or its end would not be noticed here
    try:
        sentence = receiver.recv_bytes().decode()
    except EOFError:
        process.join()
        factories = " and ".join(sorted({str(config.model.factory) for config in own}))
        sentence = (
            f"model.factory {factories}: its process ended with status {process.exitcode} while it "
            "was tried out (-9 is also what a machine without memory left does)"
        )
    if sentence:
        raise InputError(sentence)


def _say_what_fails(configs: list[TrialConfig], memory: float | None, sender: Connection) -> None:
    """Sends a sentence; empty if all can be trained."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command deals with Ctrl-C
    torch.set_num_threads(1)
    bound = MemoryBound(memory, hard=True)
    sentence = ""
    try:
        for config in configs:
            check_model(config)
    except InputError as error:
        cause = error.__context__ if isinstance(error.__context__, Exception) else error
        sentence = f"{error} ({bound.sentence})" if bound.refused(cause) else str(error)
    sender.send_bytes(sentence.encode(errors="replace"))


def check_model(config: TrialConfig) -> None:
    """Tries the model of `config` with every knob on; a U-Net's settings are checked already.

    Raises:
        InputError: it cannot be built or called, does not say what is asked of it, or fails in what
            a trial does.
    """
    factory = config.model.factory
    if factory is None:
        return
    first, second = (build_model(config.model, seed=0) for _ in "ab")
    if first is second:
        raise InputError(f"model.factory {factory} returned one module twice; each trial needs its")
    try_out(first, config.model)
    try:
        _check_branches(first, config)
        _train(config)
    except (InputError, Diverged) as error:
        raise InputError(f"model.factory {factory}: {error}") from None
    except Exception as error:
        said = in_a_line(error)
        raise InputError(f"model.factory {factory}: a step of training fails: {said}") from None


def _check_branches(model: nn.Module, config: TrialConfig) -> None:
    """Every module that a branch names must act once, or a probability would not be what it says.

    Raises:
        InputError: one acts more than once, or never.
    """
    calls: Counter[nn.Module] = Counter()

    def count(module: nn.Module, *_: Any) -> None:
        calls[module] += 1

    roles: dict[str, list[nn.Module]] = {"last": [], "dropout": []}
    for branch in residual_branches(model):
        roles["last"].append(branch.last)
        if branch.dropout is not None:
            roles["dropout"].append(branch.dropout)
    hooks = [m.register_forward_hook(count) for m in {*roles["last"], *roles["dropout"]}]
    try_out(model, config.model)
    for hook in hooks:
        hook.remove()
    for role, modules in roles.items():
        named = Counter(modules)
        for module, times in named.items():
            if times != 1 or calls[module] != 1:
                raise InputError(
                    f"residual_branches() names a {type(module).__name__} {times} times as {role}, "
                    f"and it is called {calls[module]} times a prediction; both must be once"
                )


def _train(config: TrialConfig) -> None:
    everything = config.model_copy(
        update={
            "training": config.training.model_copy(update={"batch_size": _BATCH, "compile": False}),
            "regularization": config.regularization.model_copy(
                update={"residual_dropout": 0.1, "attention_dropout": 0.1,
                        "attention_weight_dropout": 0.1, "stochastic_depth": 0.1}
            ),
            "augmentation": config.augmentation.model_copy(update={"horizontal_flip": 0.5}),
        }
    )  # fmt: skip
    side = config.model.sample_size
    images = torch.zeros((_BATCH, config.model.in_channels, side, side), dtype=torch.uint8)
    trainer = Trainer(everything, images, _CPU)
    for _ in range(_STEPS):
        trainer.step()
    trainer.check_finite()
    trainer.averages.copy_to(trainer.network.averaged, 0)
    trainer.network.copy_buffers()
    trainer.network.reset(everything)
