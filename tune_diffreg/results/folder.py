"""The folder of a study, `<storage>/<name>/`: what is where, who may write, what exists."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tune_diffreg.errors import InputError, explain
from tune_diffreg.files import locked, write_atomically
from tune_diffreg.mirror import fetch, mirror_of, publish
from tune_diffreg.patience import reason_of
from tune_diffreg.results.formats import to_yaml
from tune_diffreg.study import Study, read_yaml

# Sheets of images: of a trial its samples and those most like training images, and real ones.
SAMPLES, PAIRS, REAL = "samples.png", "pairs.png", "real.png"

# What a lock says. No number of a process is longer, and 0 and -1 would be more than one.
_HOLDER = re.compile(r"(?P<host>\S+) (?P<pid>[1-9][0-9]{0,8})")


@dataclass(frozen=True)
class StudyFolder:
    """Paths of one study's files."""

    storage: Path
    name: str

    @property
    def root(self) -> Path:
        return self.storage / self.name

    @property
    def study(self) -> Path:
        return self.root / "study.yaml"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def proposals(self) -> Path:
        """Optuna's study, in its own journal storage."""
        return self.root / "optuna.jsonl"

    @property
    def trials_csv(self) -> Path:
        return self.root / "trials.csv"

    @property
    def summary(self) -> Path:
        return self.root / "summary.json"

    @property
    def best(self) -> Path:
        return self.root / "best.yaml"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def delivery(self) -> Path:
        """How far MLflow has been told."""
        return self.root / "mlflow.json"

    @property
    def refusals(self) -> Path:
        """What MLflow would not take."""
        return self.root / "mlflow-refused.jsonl"

    @property
    def log(self) -> Path:
        return self.root / "log.jsonl"

    @property
    def live(self) -> Path:
        """What the running study is doing now."""
        return self.root / "live.json"

    @property
    def references(self) -> Path:
        """What scores are held against, for all studies of the storage."""
        return self.storage / "references"

    def trial(self, trial_id: str) -> Path:
        return self.root / "trials" / trial_id

    @property
    def real(self) -> Path:
        """The sheet of real images."""
        return self.root / REAL

    def of_trial(self, trial_id: str, name: str) -> Path:
        """A file that a trial left for good; there is none if it does not exist."""
        return there(self.trial(trial_id) / name)

    def refresh(self) -> None:
        """Brings what is known of the study into a local copy of a storage elsewhere."""
        mirror = mirror_of(self.storage)
        if mirror is not None:
            for file in (self.study, self.best, self.delivery):
                mirror.fetch(file)
            for file in (self.proposals, self.journal):
                mirror.fetch_growth(file)

    def require_same(self, study: Study) -> None:
        """Makes sure that what the folder holds, if anything, is that study.

        Raises:
            InputError: it holds another study of that name, or is damaged.
        """
        if self.study.exists() and self.read_study() != study:
            raise InputError(
                f"{self.root} holds a study {self.name!r} made from another file; choose "
                "another name (--set name=...) or another --storage"
            )

    def create(self, study: Study) -> None:
        """Makes the folder for a study, or checks that the one there is of the same study.

        Raises:
            InputError: the storage cannot be written, or holds another study of that name.
        """
        self.require_same(study)
        if self.study.exists() and not self.journal.exists():
            publish(self.study)  # it may be known here alone, where that failed before
        if not self.study.exists():
            self._make()
            with _sentence(self.root):
                write_atomically(self.study, to_yaml(study.model_dump(mode="json")))

    @contextmanager
    def begun(self, study: Study) -> Iterator[None]:
        """Holds the folder of a study, made where there is none; of two that come at once one does.

        Raises:
            InputError: as `create` and `lock` do.
        """
        self._make()
        with self.lock():
            self.create(study)
            yield

    def _make(self) -> None:
        with _sentence(self.root):
            self.root.mkdir(parents=True, exist_ok=True)

    def read_study(self) -> Study:
        """The study as it was started.

        Raises:
            InputError: the file is missing or damaged, or the folder is a copy under another name,
                in which one would ask for this study and go on with the other.
        """
        study = read_resolved(self.study)
        if study.name != self.name:
            raise InputError(
                f"{self.root} holds a study {study.name!r}, not {self.name!r}; give the folder its "
                "study's name, in a storage of its own if that is taken"
            )
        return study

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps a second process from running the same study.

        A local copy then holds all that the last machine left, which may have gone on until now.

        Raises:
            InputError: one is running it now.
        """
        with locked(self._lock, f"study {self.name!r} is being run by another process"):
            mirror = mirror_of(self.root)
            if mirror is None:
                yield
                return
            with mirror.lease(self.root, f"study {self.name!r} is being run by another machine"):
                self.refresh()
                for file in (self.trials_csv, self.summary, self.report, self.real):
                    mirror.fetch(file)
                for file in (self.log, self.refusals):
                    mirror.fetch_growth(file)
                yield

    @property
    def _lock(self) -> Path:
        return self.root / ".lock"

    def holder(self) -> tuple[str, int] | None:
        """Machine and process that run the study now.

        None where nobody does, and where it cannot be told who: the holder has just begun, or what
        it left is damaged. `is_locked` tells which.
        """
        mirror = mirror_of(self.root)
        told = mirror.holder(self.root) if mirror is not None else None
        if mirror is None and self.is_locked():
            told = self._lock.read_text(errors="replace")
        found = _HOLDER.fullmatch(told or "")
        return (found["host"], int(found["pid"])) if found else None

    def is_locked(self) -> bool:
        """Whether a process is running the study now, on whatever machine."""
        mirror = mirror_of(self.root)
        return self.is_written() if mirror is None else mirror.is_held(self.root)

    def is_written(self) -> bool:
        """Whether a process is running the study now in this very folder, or copy of it."""
        try:
            with self._lock.open("r") as file:
                # A shared lock, so that looking never keeps anyone from starting for long.
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # never run, or a folder that may not be read
            return False
        return False


def there(path: Path) -> Path:
    """A file of a storage, brought from elsewhere where a local copy does not have it yet."""
    if not path.exists():
        fetch(path)
    return path


@contextmanager
def _sentence(folder: Path) -> Iterator[None]:
    """Raises InputError where the folder cannot be written."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({reason_of(error)})") from None


def read_resolved(file: Path) -> Study:
    """The study in a `study.yaml`, whatever its folder is called.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return Study.model_validate(read_yaml(file))
    except ValidationError as error:
        raise InputError(f"{file}: {explain(error)}") from None
