"""What a study file says beside one training's configuration: how to search, prune and confirm."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from tune_diffreg.study.settings import Images, Seed, Settings
from tune_diffreg.study.space import Distribution


class Search(Settings):
    trials: int = Field(ge=1, le=1_000_000, description="most trials, baselines included")
    concurrent: Images | None = Field(
        None, description="trials at a time; null means as many as the cluster holds"
    )
    images: Images | None = Field(
        None, description="images seen by all trials together before no more is started"
    )
    hours: Annotated[float, Field(gt=0)] | None = Field(
        None, description="hours of running, breaks left out, before no more is started"
    )
    when_spent: Literal["finish", "stop"] = Field(
        "finish",
        description="running trials once images or hours are spent: finish, as halving decides, "
        "or stop at their next rung",
    )
    sampler: Literal["tpe", "random", "gp", "cmaes", "qmc"] = Field(
        "tpe",
        description="what proposes: tree-structured Parzen estimator, random search, Gaussian "
        "process (learns from complete trials alone), CMA-ES (numbers alone, blind to "
        "constraints), Sobol sequence",
    )
    warm_start: str | None = Field(
        None,
        description="folder of an earlier study, to learn from its trials, or a best.yaml, to try "
        "first",
    )
    seed: Seed = Field(0, description="proposals and the choice of controls")
    baselines: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="named fixed configurations, run first, never pruned"
    )
    space: dict[str, Distribution] = Field(
        description="dotted path of a setting -> low, high, log, step, choices, when"
    )


class Halving(Settings):
    variant: Literal["stop", "promote"] = Field(
        "promote",
        description="promote pauses each trial at its rung, and the best go on; stop ends weak "
        "trials at once",
    )
    first_rung: Images = Field(description="images seen at the first rung")
    reduction_factor: int = Field(
        3, ge=2, le=1000, description="one in this many continues; spacing of rungs"
    )
    controls: float = Field(
        0.1, ge=0, le=1, description="fraction of proposed trials exempt from pruning"
    )
    most_controls: int = Field(
        16,
        ge=0,
        le=1_000_000,
        description="no more than this many; each costs a training of full length",
    )


class Confirmation(Settings):
    """What is repeated after the search, on the test split."""

    finalists: int = Field(3, ge=1, le=1000, description="best trials that are trained again")
    seeds: int = Field(
        3, ge=2, le=1000, description="fresh seeds for each of them and for each baseline"
    )


class Resources(Settings):
    cpu: int = Field(1, ge=1, le=1024, description="CPU cores of a trial, and its torch threads")
    gpu: float = Field(0.0, ge=0, le=1, description="GPU share of a trial")
    memory: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="GiB of a machine's memory of a trial: no more trials run on a machine than it "
        "holds, and one that takes more fails; null: what there is",
    )
    hang_seconds: Annotated[float, Field(gt=0)] | None = Field(
        21_600.0,  # to score 50,000 images by Inception takes four hours of a CPU core
        description="longest time without a sign of life from a trial, before its process is ended "
        "and it goes on from its checkpoint; one is due every 5 seconds, but none while it scores "
        "at a rung or compiles, which `check` measures and this must exceed by far; null: none is "
        "too long",
    )
    rung_seconds: Annotated[float, Field(gt=0)] | None = Field(
        None,
        description="longest time that a process may take for a trial's next rung, training and "
        "scoring, before it is ended and the trial goes on from its checkpoint in another; one "
        "that this happens to three times in a row fails; null: none is too long",
    )
    storage_seconds: float = Field(
        600.0,
        ge=0,
        description="how long a study waits while its storage cannot be written (full, read-only, "
        "not answering) before it ends as interrupted",
    )


class Tracking(Settings):
    uri: str | None = Field(
        None,
        description="MLflow tracking URI; null: MLFLOW_TRACKING_URI, or SQLite beside the results",
    )
