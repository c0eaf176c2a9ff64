"""Studies whose trials train nothing: ours through the whole service, and the recipe that Ray's
documentation gives (function trainable, ASHA, OptunaSearch, MLflowLoggerCallback).

Each report is better than all before it, so neither prunes and both do the same work. A trial of
either imports torch and diffusers, as one that trains would.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from tune_diffreg.results import StudyFolder, read_journal
from tune_diffreg.study import Study, scores


def better_than_all_before() -> float:
    """A loss that falls with the clock."""
    return 4e9 - time.time()


def run_ours(study: Study, storage: Path) -> float:
    """The service as a user runs it; only the actor's training and scoring are left out.

    Returns:
        When the first report came, in seconds since 1970.
    """
    from tune_diffreg.search import actor
    from tune_diffreg.service import run_study

    class IdleActor(actor.TrialActor):
        def _advance(self) -> dict[str, Any]:
            rung = self._ahead.pop(0)
            found = dict.fromkeys(scores.all_of(study.evaluation.feature_name), 0.0)
            found[study.objective.metric] = better_than_all_before()
            found["heldout_memorized_fraction"] = 0.0
            return {"images": rung, "seconds": 0.0, "rung": rung, "scores": found}

    actor.TrialActor = IdleActor  # type: ignore[misc]
    run_study(study, storage, Console(file=io.StringIO()))
    events = read_journal(StudyFolder(storage, study.name).journal)
    return next(float(event["time"]) for event in events if event["event"] == "report")


def run_stock(study: Study, storage: Path) -> float:
    """The same search space, reports and number of trials, put together from Ray's parts.

    Returns:
        When the first report came, in seconds since 1970.
    """
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import optuna
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    from benchmarks.arms import space_of

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rungs = study.rungs()
    reports: list[float] = []

    class Clock(tune.Callback):  # type: ignore[misc]
        def on_trial_result(self, **_: Any) -> None:
            reports.append(time.time())

    def train(config: dict[str, Any]) -> None:  # noqa: ARG001
        import diffusers  # noqa: F401
        import torch  # noqa: F401

        for rung in rungs:
            tune.report({"loss": better_than_all_before(), "images": rung})

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    storage.mkdir(parents=True, exist_ok=True)
    uri = f"sqlite:///{storage.resolve()}/mlflow.db"
    tune.Tuner(
        tune.with_resources(train, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=OptunaSearch(space_of(study), metric="loss", mode="min"),
            scheduler=ASHAScheduler(
                time_attr="images", metric="loss", mode="min",
                max_t=rungs[-1] + 1, grace_period=rungs[0],
            ),
            num_samples=study.search.trials,
        ),
        run_config=tune.RunConfig(
            name=study.name,
            storage_path=str(storage.resolve()),
            verbose=0,
            callbacks=[
                Clock(),
                MLflowLoggerCallback(tracking_uri=uri, experiment_name=study.name),
            ],
        ),
    ).fit()  # fmt: skip
    ray.shutdown()
    return reports[0]
