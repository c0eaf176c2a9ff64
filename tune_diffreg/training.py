"""One production training from an exported file to its folder: the work, display and tracking."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tune_diffreg.errors import InputError
from tune_diffreg.production.cautions import cautions
from tune_diffreg.production.export import fill, new_folder
from tune_diffreg.production.job import Job, scored_at
from tune_diffreg.production.train import take_part
from tune_diffreg.production.workers import check_workers, train_on_workers
from tune_diffreg.results import Best, read_best, with_settings
from tune_diffreg.results.best import without_cache
from tune_diffreg.results.journal import Event
from tune_diffreg.tracking import Follower, Outcome, training_delivery

Say = Callable[[str], None]


@dataclass(frozen=True)
class Request:
    """A production training, as it was asked for.

    Attributes:
        file: an exported best.yaml.
        output: new folder for the trained model.
        settings: key=value, in place of those in the file.
        workers: processes that share each batch.
        scores: how often it is scored, the end included.
        storage: folder whose MLflow store remembers it.
        address: of a Ray cluster, where there are several workers.
        trusted: whether code that the file names may be run.
    """

    file: Path
    output: Path
    settings: Sequence[str] = ()
    workers: int = 1
    scores: int = 1
    storage: Path = Path("runs")
    address: str | None = None
    trusted: bool = False


@dataclass(frozen=True)
class Trained:
    """How a training ended.

    Attributes:
        scores: at its end.
        searched: what the search scored.
        same_data: whether on the images of the search.
        repeats: whether with its settings too, so that the scores should be the same.
        tracked: what became of it in MLflow.
    """

    scores: dict[str, float]
    searched: dict[str, float]
    same_data: bool
    repeats: bool
    tracked: Outcome


def train_best(request: Request, say: Say, progress: Callable[[int, int], None]) -> Trained:
    """Trains an exported configuration, or goes on with it, and writes `output` when it is done.

    Where it is done and MLflow was away, its history is kept; called again, it delivers that.

    Args:
        say: called with what the user should know.
        progress: called with (images seen, images in all).

    Raises:
        InputError: before anything is started.
        WorkFailed: the training failed.
        KeyboardInterrupt: it was interrupted; called again, it goes on.
    """
    tuned = read_best(request.file, request.trusted)
    best = with_settings(tuned, request.file, request.settings)
    images = best.config.training.images
    if request.output.is_symlink():  # as one that came with an export may be, leading anywhere
        raise InputError(f"{request.output} is a link; name the folder itself as --output")
    job = Job(best, request.output.resolve(), scored_at(images, request.scores))
    check_workers(job, request.workers, request.address)
    try:
        request.storage.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{request.storage} cannot be written ({error.strerror})") from None
    _warn(tuned, best, request, say)

    def news(event: Event) -> None:
        if "images" in event:
            progress(event["images"], images)

    with job.begun():
        written = job.written()
        follower = Follower(training_delivery(best, job.history, request.storage, not written))
        state = "interrupted"
        try:
            if not written:
                _train(job, request, news)
            state = "complete"
        except KeyboardInterrupt:
            seen = max((e["images"] for e in job.events() if "images" in e), default=0)
            say(f"Interrupted at {seen:,} of {images:,} images. The same command goes on with it.")
            raise
        finally:
            if state == "complete" and not written:
                _write(job)
            model = job.output if state == "complete" else None
            tracked = follower.close({"state": state}, model)
        scores, data = job.scores(), job.data_sha256()
        if tracked.problem or tracked.refused:
            job.keep_history()
        else:
            job.remove()
    same = data == tuned.provenance.get("data_sha256")
    repeats = same and without_cache(best.config) == without_cache(tuned.config)
    return Trained(scores[max(scores)], tuned.result.scores, same, repeats, tracked)


def _train(job: Job, request: Request, news: Callable[[Event], None]) -> None:
    with _interrupt() as interrupted:
        stopped = interrupted.is_set
        if request.workers > 1 or request.address is not None:
            train_on_workers(job, request.workers, request.address, stopped, news)
        else:
            take_part(job, stopped=stopped, news=news)
    if interrupted.is_set() and job.events()[-1]["event"] != "complete":
        raise KeyboardInterrupt


def _write(job: Job) -> None:
    """The finished training as an export, in its final place."""
    with new_folder(job.output) as unfinished:
        fill(unfinished, job)


def _warn(tuned: Best, best: Best, request: Request, say: Say) -> None:
    if not tuned.usable:
        say("note: this configuration broke a constraint of its study")
    found = cautions(tuned.config, best.config)
    for sentence in found:
        say(f"note: {sentence}")
    if found:
        say(
            f"A narrow study finds out:  tune-diffreg narrow {request.file} "
            f"--train {best.config.data.train} --images {best.config.training.images} "
            f"--output {best.study}-narrow.yaml{' --trust' if tuned.config.factories else ''}"
        )


@contextmanager
def _interrupt() -> Iterator[threading.Event]:
    """Set by a first Ctrl-C; a second one breaks off at once."""
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def handle(_: int, __: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
