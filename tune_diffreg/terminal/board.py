"""What is known of a running study, kept up to date by its events."""

from __future__ import annotations

from dataclasses import dataclass

from tune_diffreg.results import Repetition, TrialRecord, best_trial, candidates, leading_trial
from tune_diffreg.results.confirmation import apply_repetition
from tune_diffreg.results.journal import Event
from tune_diffreg.results.trials import ENDED, apply
from tune_diffreg.study import Study


@dataclass(frozen=True)
class Counts:
    """Trials by state."""

    running: int
    paused: int
    complete: int
    pruned: int
    failed: int
    total: int


class Board:
    """The records of a study, and how far each running trial is."""

    def __init__(
        self,
        study: Study,
        records: dict[str, TrialRecord],
        runs: dict[str, Repetition] | None = None,
    ) -> None:
        self.study = study
        self.records = records
        self.repetitions = runs or {}
        self._images = {record.id: record.images for record in records.values()}
        self._images |= {run.id: run.images for run in self.repetitions.values()}
        self._before = self.images_seen
        self.most_images = study.most_images + study.confirmation_images

    def note(self, event: Event) -> None:
        """Takes one event in."""
        apply(self.records, event)
        apply_repetition(self.repetitions, event)
        if event["event"] in ("progress", "report"):
            self._images[event["trial"]] = event["images"]
        elif event["event"] in ("repeating", "repeated"):
            self._images[event["run"]] = event["images"]

    @property
    def counts(self) -> Counts:
        states = [record.state for record in self.records.values()]
        complete, pruned, failed = (states.count(state) for state in ENDED)
        return Counts(
            states.count("running"),
            states.count("paused"),
            complete,
            pruned,
            failed,
            self.study.search.trials,
        )

    @property
    def running(self) -> list[tuple[TrialRecord, int]]:
        """Running trials, each with the images that it has seen."""
        return [
            (r, self._images.get(r.id, 0)) for r in self.records.values() if r.state == "running"
        ]

    @property
    def repeating(self) -> list[tuple[Repetition, int]]:
        """Repetitions that run now, each with the images that it has seen."""
        running = (run for run in self.repetitions.values() if run.state == "running")
        return [(run, self._images.get(run.id, 0)) for run in running]

    @property
    def most_repetitions(self) -> int:
        settings = self.study.confirmation
        return len(candidates(self.study, self.records)) * settings.seeds if settings else 0

    @property
    def images_seen(self) -> int:
        return sum(self._images.values())

    @property
    def best(self) -> TrialRecord | None:
        return best_trial(self.study, self.records.values())

    @property
    def leader(self) -> TrialRecord | None:
        return leading_trial(self.study, self.records.values())

    def seconds_left(self, elapsed: float) -> float | None:
        """An estimate: the trials to come will be as long as those that have ended.

        None while no proposed trial has ended.
        """
        ended = [r for r in self.records.values() if r.ended and not r.baseline]
        done = self.images_seen - self._before
        if not ended or not done:
            return None
        typical = sum(record.images for record in ended) / len(ended)
        to_come = self.study.search.trials - len(self.records)
        under_way = sum(max(0.0, self._likely(r, typical) - seen) for r, seen in self.running)
        repeated = sum(self._images.get(run, 0) for run in self.repetitions)
        to_repeat = max(0, self._repeated_images() - repeated)
        return (to_come * typical + under_way + to_repeat) * elapsed / done

    def _repeated_images(self) -> int:
        """Images seen in all of confirmation, once the search is over; until then at most."""
        if not self.repetitions:
            return self.study.confirmation_images
        return self.most_repetitions * self.study.training.images

    def _likely(self, record: TrialRecord, typical: float) -> float:
        exempt = record.baseline is not None or record.control
        return self.study.training.images if exempt else typical
