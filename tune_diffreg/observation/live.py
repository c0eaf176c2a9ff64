"""`live.json`: what a running study is doing, written every few seconds for `status` to read."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)

from tune_diffreg.errors import explain
from tune_diffreg.files import write_atomically
from tune_diffreg.mirror import fetch
from tune_diffreg.results import StudyFolder
from tune_diffreg.words import duration

STALE_SECONDS = 60.0
"""A file that is older than this says nothing about now."""

_MOST_BYTES = 16_000_000  # of a file of ours, with 50,000 running trials


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable text")
    return text


Text = Annotated[str, StringConstraints(max_length=255), AfterValidator(_printable)]
Count = Annotated[int, Field(ge=0)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")  # a later version may say more


class LiveTrial(_Part):
    """One running trial or repetition; what is None is not known (yet)."""

    trial: Text
    images: Count
    """Seen, at its last sign of life."""
    silent_s: Amount | None = None
    """Seconds since then; None where it has given none in this session: it waits for a place."""
    images_per_second: Amount | None = None
    """Of its training alone, without scoring."""
    host: Text | None = None
    pid: Count | None = None
    cpu: Amount | None = None
    """Share of the trial's cores that it kept busy."""
    device: Text | None = None
    """Which GPU of the host, as CUDA_VISIBLE_DEVICES names it."""
    gpu: Amount | None = None
    """Share of the time that the GPU was busy."""
    restarts: Count = 0
    """How often its process ended before its time, in this session."""

    @property
    def begun(self) -> bool:
        return self.silent_s is not None


class Live(_Part):
    """A study at one moment, as the process that runs it sees it."""

    time: Amount
    """Seconds since 1970."""
    study: Text
    state: Text
    host: Text
    pid: Count
    trials: Mapping[Text, Count]
    """How many there are, by state."""
    images_per_second: Amount
    """Of all trials in the last minute, scoring counted in."""
    longest_pause_s: Amount
    """Between two signs of life of any trial in this session."""
    running: tuple[LiveTrial, ...]
    waiting: Count
    """Records that MLflow has not taken yet."""

    @property
    def begun(self) -> list[LiveTrial]:
        return [trial for trial in self.running if trial.begun]

    @property
    def cpu(self) -> float | None:
        """The mean share of their cores that trials keep busy."""
        return _mean([trial.cpu for trial in self.begun if trial.cpu is not None])

    @property
    def devices(self) -> dict[tuple[str, str], float]:
        """(host, GPU) -> how busy it is, each once, also where several trials share it."""
        return {
            (trial.host or "", trial.device): trial.gpu
            for trial in self.begun
            if trial.device is not None and trial.gpu is not None
        }

    @property
    def gpu(self) -> float | None:
        """The mean of the GPUs on which trials have begun."""
        return _mean(list(self.devices.values()))


def _mean(shares: list[float]) -> float | None:
    return fmean(shares) if shares else None


def write_live(folder: StudyFolder, live: Live) -> None:
    """Replaces the file by what is known now."""
    write_atomically(folder.live, live.model_dump_json(indent=1))


def read_live(folder: StudyFolder) -> tuple[Live | None, str]:
    """What was written last, of whatever age, and what is wrong with it; both may be empty."""
    fetch(folder.live)
    try:
        content = folder.live.open("rb").read(_MOST_BYTES)
        return Live.model_validate_json(content), ""
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        return None, f"{folder.live.name} cannot be read ({error.strerror})"
    except ValidationError as error:
        return None, f"{folder.live.name} is damaged and left out ({explain(error)})"


def out_of_date(live: Live, now: float) -> str:
    """Why it says nothing about now; empty where it does.

    Args:
        now: seconds since 1970.
    """
    age = now - live.time
    if abs(age) <= STALE_SECONDS:  # clocks of two machines differ
        return ""
    when = f"{duration(abs(age))} {'ago' if age > 0 else 'ahead of this clock'}"
    return f"live.json was written {when}; what trials are doing now is not known"
