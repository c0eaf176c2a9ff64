"""A production training while it is under way: what it is, and the folder that it goes on from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tune_diffreg.errors import InputError
from tune_diffreg.files import check_new, locked, write_atomically
from tune_diffreg.results import Best, read_best
from tune_diffreg.results.best import without_cache
from tune_diffreg.results.formats import to_yaml
from tune_diffreg.results.journal import Event, read_journal

_LOCK = ".lock"
ORIGIN = ("data_sha256", "features", "features_sha256")
"""What a session tells of what it is scored with."""
_TOLD = (".jsonl", ".json", ".yaml")
"""Endings of what a training tells of itself: settings, history, and how far MLflow has it."""


@dataclass(frozen=True)
class Job:
    """A training, as every process that takes part in it is told.

    Attributes:
        best: what is trained; its result is still the search's.
        output: folder that the trained model goes to.
        scored_at: images seen at which it is scored; the last is its end.
    """

    best: Best
    output: Path
    scored_at: tuple[int, ...]

    @property
    def folder(self) -> Path:
        """Where the training lives until it is done."""
        return self.output.parent / f".{self.output.name}.training"

    @property
    def history(self) -> Path:
        """Its journal."""
        return self.folder / "history.jsonl"

    @property
    def stop(self) -> Path:
        """A file that asks its processes to stop, by being there."""
        return self.folder / "stop"

    def events(self) -> list[Event]:
        """All that is known of it; none before it has begun."""
        return read_journal(self.history) if self.history.exists() else []

    def scores(self) -> dict[int, dict[str, float]]:
        """Images seen to the scores taken there."""
        return {e["images"]: e["scores"] for e in self.events() if e["event"] == "scored"}

    def data_sha256(self) -> str:
        """Of the images that it is trained and scored on."""
        return self.origin()["data_sha256"]

    def origin(self) -> dict[str, str]:
        """Hashes of the images and of the extractor that it is scored with."""
        session = next(event for event in self.events() if event["event"] == "session")
        return {key: str(session[key]) for key in ORIGIN if key in session}

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Its folder, made or found, for this process alone.

        Raises:
            InputError: `output` is in use, cannot be written, was begun with other settings, or its
                folder came with an export and leads elsewhere.
        """
        self._check_links()
        if not self.written():
            check_new(self.output)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder} cannot be written ({error.strerror})") from None
        with locked(self.folder / _LOCK, f"{self.output} is being trained by another process"):
            self._check_settings()
            self.stop.unlink(missing_ok=True)
            yield

    def written(self) -> bool:
        """Whether it was trained to its end and written, so that only its tracking is left."""
        ended = any(event["event"] == "complete" for event in self.events())
        return ended and (self.output / "best.yaml").exists()

    def keep_history(self) -> None:
        """Removes what it would go on from, and keeps what MLflow is still to be told."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.suffix not in _TOLD and path.name != _LOCK:
                path.unlink()

    def remove(self) -> None:
        """Forgets what it would go on from."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_links(self) -> None:
        """What lies beside an exported file may have come with it; what it goes on from is changed
        and removed, so it must be here and nowhere else."""
        for path in (self.folder, *self.folder.rglob("*")):
            if path.is_symlink():
                raise InputError(
                    f"{path} is a link, and a training makes none; remove {self.folder}, or choose "
                    "another --output"
                )

    def _check_settings(self) -> None:
        file = self.folder / "best.yaml"
        content: dict[str, Any] = self.best.model_dump(mode="json", by_alias=True)
        if not file.exists():
            write_atomically(file, to_yaml(content))
            return
        begun = read_best(file, trusted=True).config  # of which nothing is used
        if without_cache(begun) != without_cache(self.best.config):
            raise InputError(
                f"a training for {self.output} was begun with other settings; go on with those, "
                f"choose another --output, or remove {self.folder}"
            )


def scored_at(images: int, times: int) -> tuple[int, ...]:
    """Images seen at which a training of `images` is scored `times` times, evenly spread."""
    return tuple(sorted({-(-images * i // times) for i in range(1, times + 1)}))
