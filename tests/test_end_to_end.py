"""A whole study on real Ray, from the file to an exported model: what it leaves behind."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from diffusers import DDPMPipeline
from mlflow import MlflowClient
from mlflow.entities import Run

from tests.conftest import DIGITS, TINY, Command, optuna_trials, run_cli, tiny_run, tiny_study
from tune_diffreg.results import StudyFolder, open_study, read_journal, replay
from tune_diffreg.search.preparation import prepare
from tune_diffreg.study import scores
from tune_diffreg.tracking import local_uri

pytestmark = pytest.mark.slow

TRIALS = 8
SCORES = {
    *scores.all_of("digits_cnn"),
    *(f"heldout_{name}" for name in scores.OF_HELDOUT),
    "fd_digits_cnn_se",
    "kd_digits_cnn_se",
    "ema",
    "gradient_norm",
    "clipped_fraction",
}


@pytest.fixture(scope="session")
def summary(finished: Path) -> dict:
    return json.loads((finished / "digits" / "summary.json").read_text())


@pytest.fixture(scope="session")
def exported(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("export") / "best"
    done = run_cli("export", "digits", "--output", output, "--storage", finished)
    assert done.returncode == 0, done.stderr
    return output


def test_the_screen_shows_the_study_and_no_framework(finished: Path) -> None:
    screen = (finished / "screen.txt").read_text()
    assert "t0000 unregularized started" in screen
    assert "pruned at 320 images: FD " in screen
    assert "tune-diffreg export digits" in screen
    assert not re.search(r"(?i)warning|\binfo\b|traceback|raylet|mlflow\.|alembic|deprecat", screen)
    for line in screen.splitlines():
        if " started: " in line or " at " in line:
            assert re.match(r" +\d+:\d\d  t\d{4} ", line), line


def test_the_results_stand_beside_what_real_images_score(finished: Path) -> None:
    screen = " ".join((finished / "screen.txt").read_text().split())
    sentence = r"80 real images score FD \d+\.\d+"
    assert re.search(sentence, screen)
    assert re.search(sentence, (finished / "digits" / "report.html").read_text())


def test_the_summary_is_as_the_contract_says(summary: dict) -> None:
    assert set(summary) == {
        "study", "state", "trials", "objective", "floor", "best", "baselines", "confirmation",
        "unconfirmed", "audit", "images_seen", "wall_s",
    }  # fmt: skip
    assert summary["study"] == "digits"
    assert summary["state"] == "complete"
    counts = summary["trials"]
    assert counts["total"] == TRIALS == counts["complete"] + counts["pruned"]
    assert counts["failed"] == 0
    assert counts["pruned"] >= 1
    assert summary["objective"] == {
        "metric": "fd_digits_cnn", "samples": 80, "split": "validation",
    }  # fmt: skip
    floor = summary["floor"]
    assert set(floor) == {"value", "images", "measured"}
    assert floor["images"] == 80
    assert 0 < floor["value"] < summary["best"]["value"]
    assert set(summary["best"]) == {"trial_id", "config", "value", "constraints", "feasible"}
    assert set(summary["best"]["constraints"]) == {"memorized_fraction"}
    assert set(summary["baselines"]) == {"unregularized", "published"}
    for baseline in summary["baselines"].values():
        assert set(baseline) == {"value", "constraints"}
    assert summary["unconfirmed"] is None
    assert summary["wall_s"] > 0


def test_the_best_is_the_best_feasible_trial_of_full_length(finished: Path, summary: dict) -> None:
    table = pd.read_csv(finished / "digits" / "trials.csv")
    complete = table[(table.state == "complete") & (table.memorized_fraction <= 0.02)]
    assert summary["best"]["value"] == pytest.approx(complete.fd_digits_cnn.min())
    assert summary["best"]["feasible"]


def test_the_table_has_a_row_a_trial_with_every_value_and_score(
    finished: Path, summary: dict
) -> None:
    study = tiny_study()
    table = pd.read_csv(finished / "digits" / "trials.csv")
    assert list(table.id) == [f"t{n:04d}" for n in range(TRIALS)]
    assert set(study.search.space) | SCORES | {"state", "rung", "seconds", "images_seen"} <= set(
        table.columns
    )
    assert set(table.rung) <= {320, 640, 1280}
    assert table[table.state == "complete"].rung.eq(1280).all()
    assert table.images_seen.sum() == summary["images_seen"]
    hybrid = table["diffusion.schedule.name"] == "hybrid"
    assert table["diffusion.schedule.blend"].notna().equals(hybrid)
    assert table["regularization.residual_dropout"].notna().all()


def test_the_study_file_is_kept_in_full(finished: Path) -> None:
    assert open_study(finished, "digits").read_study() == tiny_study()


def test_no_checkpoint_stays_and_each_complete_trial_keeps_its_model(finished: Path) -> None:
    folder = open_study(finished, "digits")
    for record in replay(read_journal(folder.journal)).values():
        kept = {path.name for path in folder.trial(record.id).iterdir()}
        complete = record.state == "complete"
        sheets = {"samples.png", "pairs.png"}
        assert kept == sheets | ({"model.safetensors"} if complete else set())
    assert not list(folder.root.glob(".ray*"))


def test_optuna_knows_how_every_proposal_ended(finished: Path) -> None:
    folder = open_study(finished, "digits")
    told = optuna_trials(folder.root)
    for record in replay(read_journal(folder.journal)).values():
        if record.proposal is not None:
            trial = told[record.proposal]
            assert trial.state.name.lower() == record.state
            assert trial.value == record.scores["fd_digits_cnn"]
            assert list(trial.intermediate_values) == [r.images for r in record.reports]
    assert all(trial.state.is_finished() for trial in told)


def runs(storage: Path) -> tuple[MlflowClient, list[Run], list[Run]]:
    client = MlflowClient(local_uri(storage))
    experiment = client.get_experiment_by_name("digits")
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id])
    children = [run for run in found if "mlflow.parentRunId" in run.data.tags]
    return client, [run for run in found if run not in children], children


def test_mlflow_shows_one_parent_and_a_child_a_trial(finished: Path) -> None:
    client, parents, children = runs(finished)
    (parent,) = parents
    assert parent.info.run_name == "digits"
    assert parent.info.status == "FINISHED"
    artifacts = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {"study.yaml", "trials.csv", "best.yaml", "summary.json", "report.html"} <= artifacts
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}

    records = replay(read_journal(open_study(finished, "digits").journal))
    assert {run.data.tags["trial_id"] for run in children} == set(records)
    for run in children:
        record = records[run.data.tags["trial_id"]]
        assert run.data.tags["trial_state"] == record.state
        assert run.info.status == {"complete": "FINISHED", "pruned": "KILLED"}[record.state]
        assert len(run.data.tags["features_sha256"]) == 64
        assert set(run.data.metrics) == SCORES | {"seconds", "samples"}
        for name in SCORES:
            history = client.get_metric_history(run.info.run_id, name)
            told = [(metric.step, metric.value) for metric in history]
            assert told == [(r.images, r.scores[name]) for r in record.reports]
        config = tiny_study().trial_config(record.values)
        dropout = run.data.params["regularization.residual_dropout"]
        assert dropout == str(config.regularization.residual_dropout)
        assert run.data.params["diffusion.schedule.name"] == config.diffusion.schedule.name
        assert "samples.png" in {f.path for f in client.list_artifacts(run.info.run_id)}


def test_a_finished_study_is_shown_again_and_not_run_again(
    finished: Path, command: Command
) -> None:
    before = (finished / "digits" / "trials.csv").read_bytes()
    status, printed = command(*tiny_run(finished))
    assert status == 0, printed
    assert "8 trials in" in printed
    assert " started" not in printed
    assert (finished / "digits" / "trials.csv").read_bytes() == before
    assert len(runs(finished)[2]) == TRIALS


def test_another_study_of_that_name_is_refused_and_nothing_overwritten(
    finished: Path, command: Command
) -> None:
    before = (finished / "digits" / "study.yaml").read_bytes()
    status, printed = command(*tiny_run(finished, "optimizer.learning_rate=0.001"))
    assert status == 2
    assert "holds a study 'digits' made from another file" in printed
    assert (finished / "digits" / "study.yaml").read_bytes() == before


def test_list_status_and_best_tell_the_same_in_words_and_in_json(
    finished: Path, summary: dict, command: Command
) -> None:
    for arguments in (["list"], ["status", "digits"], ["best", "digits"]):
        status, words = command(*arguments, "--storage", finished)
        assert status == 0
        assert words.strip()
        status, data = command(*arguments, "--storage", finished, "--json")
        assert status == 0
        found = json.loads(data)
        if arguments == ["list"]:
            (found,) = found
        if arguments == ["best", "digits"]:
            assert found == summary["best"]
        else:
            assert {key: found[key] for key in summary} == summary


def test_the_export_is_of_the_best_trial(finished: Path, exported: Path, summary: dict) -> None:
    best = yaml.safe_load((exported / "best.yaml").read_text())
    assert best["trial_id"] == summary["best"]["trial_id"]
    assert best["config"] == summary["best"]["config"]
    assert best["result"]["scores"]["fd_digits_cnn"] == summary["best"]["value"]
    assert len(best["provenance"]["data_sha256"]) == 64

    sheet = (finished / "digits" / "trials" / best["trial_id"] / "samples.png").read_bytes()
    assert sheet.startswith(b"\x89PNG")


def test_an_export_is_not_written_over_something(
    finished: Path, exported: Path, command: Command
) -> None:
    status, printed = command("export", "digits", "--output", exported, "--storage", finished)
    assert status == 2
    assert "exists already" in printed


def test_training_the_export_repeats_the_score_to_the_last_bit(
    exported: Path, summary: dict, tmp_path: Path
) -> None:
    done = run_cli(
        "train", exported / "best.yaml", "--output", tmp_path / "again", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)
    assert scores["fd_digits_cnn"] == summary["best"]["value"]
    best = yaml.safe_load((exported / "best.yaml").read_text())
    assert scores == best["result"]["scores"]
    assert json.loads((tmp_path / "again" / "scores.json").read_text()) == scores
    one, two = (
        DDPMPipeline.from_pretrained(path / "pipeline").unet.state_dict()
        for path in (exported, tmp_path / "again")
    )
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_report_opens_without_a_network(finished: Path, summary: dict) -> None:
    page = (finished / "digits" / "report.html").read_text()
    assert f"Use {summary['best']['trial_id']}" in page or "Nearest is" in page
    body = page[page.index("<body>") :]
    apart = summary["best"]["trial_id"] not in ("t0000", "t0001")
    shown = 2 + apart  # the baselines and the best trial
    assert len(re.findall('<img class="sheet" alt="samples of [^"]* above', body)) == shown
    assert page.count('<img class="sheet"') == 2 * shown + 1  # and real images
    assert not re.search(r"""<(script|link|img|iframe)[^>]+(src|href)=["']http""", body)
    assert len(page) < 6e6


def test_check_prints_the_plan_and_starts_nothing(tmp_path: Path, command: Command) -> None:
    arguments = [part for text in TINY for part in ("--set", text)]
    status, data = command("check", DIGITS, *arguments, "--json")
    assert status == 0
    found = json.loads(data)
    assert found["rungs"] == [320, 640, 1280]
    assert found["trials"] == 8
    assert found["images_at_most"] == 8 * 1280
    assert found["concurrent_trials"] >= 1
    assert found["baselines"] == ["unregularized", "published"]
    assert found["cost"]["images_per_second"] > 10
    assert found["cost"]["training_seconds"] == pytest.approx(
        1280 / found["cost"]["images_per_second"]
    )
    assert found["cost"]["gpu_share"] is None
    assert not list(tmp_path.iterdir())


def test_what_check_measured_of_real_images_is_there_for_the_run(
    tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [part for text in TINY for part in ("--set", text)]
    checked = ("check", DIGITS, *arguments, "--storage", tmp_path)
    status, printed = command(*checked)
    assert status == 0, printed
    assert "80 real images score FD" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["references"]
    assert command("list", "--storage", tmp_path, "--json") == (0, "[]\n")

    def again(*_: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("tune_diffreg.evaluation.Measured.of", again)
    study = tiny_study()
    assert prepare(study, references=StudyFolder(tmp_path, study.name).references)
    assert command(*checked)[0] == 0


def test_best_shows_what_confirmation_chose(confirmed: Path, command: Command) -> None:
    chosen = json.loads((confirmed / "digits" / "summary.json").read_text())["confirmation"][
        "chosen"
    ]
    status, printed = command("best", "digits", "--storage", confirmed)
    assert status == 0
    name = {"t0000": "unregularized", "t0001": "published"}.get(chosen, chosen)
    assert f"chosen: {name}" in printed
