"""The main job, seen from outside: what is in the store and on disk after iterations."""

import math
from pathlib import Path

import pytest
from mlflow import MlflowClient
from warm_python import run_python

from hooktune import Runner
from hooktune.iteration.result import IterationResult
from hooktune.tracking import RunRecord

SHIFT = "test_not_irrelevant_dist_shift"
METHOD = "Default Fine Tuning Method"
TRACKED = {
    "train_loss",
    "mean_train_loss",
    "sliding_train_loss",
    "test_loss",
    "train_not_irrelevant_dist_shift",
    "train_irrelevant_dist_shift",
    "test_not_irrelevant_dist_shift",
    "test_irrelevant_dist_shift",
    "test_dist_shift_gap",
    "test_ndcg_at_10",
    "test_mrr",
}
LEARN = {"epochs": 2, "learning_rate": 1e-3, "mini_batch_size": 2, "attraction": 0.3}


@pytest.fixture
def runner(store_uri: str) -> Runner:
    return Runner(store_uri)


@pytest.fixture
def first(runner: Runner, make_batch, tiny_model_folder: Path) -> IterationResult:
    return runner.run(
        METHOD, make_batch(0), max_runs=2, params=LEARN, initial_model=str(tiny_model_folder)
    )


def trained(result: IterationResult) -> list[RunRecord]:
    return [run for run in result.runs if not run.average_of]


def weights_on_disk(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "mlruns").rglob("*.safetensors"))


def test_an_iteration_is_in_the_store_as_stock_mlflow_sees_it(
    first: IterationResult, store_uri: str, tmp_path: Path
):
    client = MlflowClient(store_uri)
    initial = client.get_experiment_by_name("iteration / initial")
    (initial_run,) = client.search_runs([initial.experiment_id])
    assert initial_run.info.run_name == "initial_model"
    assert len(client.search_logged_models([initial.experiment_id])) == 1

    experiment = client.get_experiment_by_name(str(first.iteration.name))
    runs = client.search_runs([experiment.experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 3
    (average,) = (run for run in runs if "hooktune.average_of" in run.data.tags)
    assert average.info.run_name == "average of 2 runs"
    assert average.data.params.keys().isdisjoint({"learning_rate", "epochs"})
    for run in runs:
        if run is average:
            continue
        assert run.data.metrics.keys() >= TRACKED
        steps = {point.step for point in client.get_metric_history(run.info.run_id, "train_loss")}
        assert len(steps) > 10
        assert run.data.params["learning_rate"] == "0.001"
        assert run.inputs.dataset_inputs[0].dataset.digest == first.iteration.name.batch_id

    best = max(runs, key=lambda run: run.data.metrics[SHIFT])
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert model.source_run_id == best.info.run_id == first.best.run_id
    files = {path.suffix for path in (tmp_path / "mlruns").rglob("*")}
    assert files.isdisjoint({".bin", ".pt", ".pth", ".pkl", ".pickle"})
    assert len(weights_on_disk(tmp_path)) == 2


def test_stock_mlflow_loads_the_best_model_where_there_is_no_hooktune(
    first: IterationResult, store_uri: str
):
    script = f"""
import sys
sys.modules["hooktune"] = None
import mlflow
mlflow.set_tracking_uri({store_uri!r})
model = mlflow.sentence_transformers.load_model({first.best.model_uri!r})
print(model.encode(["apple bread"]).shape)
"""
    loaded = run_python("-c", script)
    assert "(1, 32)" in loaded.stdout, loaded.stderr


def test_the_best_run_is_the_one_with_the_highest_main_metric(first: IterationResult):
    assert first.attempted == 3
    assert first.best.metrics[SHIFT] == max(run.metrics[SHIFT] for run in first.runs) > 0
    assert first.iteration.starting_metrics[SHIFT] == 0
    assert first.load_model("cpu").encode("apple").shape == (32,)


def test_running_the_same_batch_again_trains_nothing(
    first: IterationResult, runner: Runner, tmp_path: Path
):
    again = runner.run(METHOD, tmp_path / "batch-0", max_runs=2, params=LEARN)

    assert again.attempted == 0
    assert again.runs == first.runs
    assert again.best == first.best


def test_more_runs_are_added_to_an_iteration_that_has_finished(
    first: IterationResult, runner: Runner, tmp_path: Path
):
    more = runner.run(METHOD, tmp_path / "batch-0", max_runs=1, params={**LEARN, "epochs": 3})

    assert more.attempted == 1
    assert len(more.runs) == 4
    assert len(weights_on_disk(tmp_path)) == 2


def test_the_next_iteration_starts_from_the_best_model_and_replaces_it(
    first: IterationResult, runner: Runner, make_batch, tmp_path: Path
):
    replaced = {path for path in weights_on_disk(tmp_path) if "initial" not in str(path)}
    second = runner.run(METHOD, make_batch(1), max_runs=2, params=LEARN)

    assert second.iteration.starting_run == first.best.run_id
    assert second.iteration.improved
    by_shift = sorted(trained(first), key=lambda run: -run.metrics[SHIFT])
    assert [run.params for run in trained(second)] == [run.params for run in by_shift]
    assert len(replaced) == 1
    assert replaced.isdisjoint(weights_on_disk(tmp_path))
    assert len(weights_on_disk(tmp_path)) == 2, "the initial model and the second's best one"
    assert not runner.tracker.runs_with_model(first.iteration)
    (kept,) = runner.tracker.runs_with_model(second.iteration)
    assert kept == second.best.run_id
    assert runner.tracker.runs(first.iteration) == list(first.runs), "runs and metrics stay"


def test_an_iteration_that_beats_nothing_leaves_the_previous_model(
    first: IterationResult, runner: Runner, make_batch
):
    ruin = {"learning_rate": 1.0, "attraction": 0.0, "max_grad_norm": 1e6}
    second = runner.run(
        METHOD, make_batch(1), max_runs=1, params=ruin, main_metric="test_dist_shift_gap"
    )
    third = runner.run(METHOD, make_batch(2), max_runs=1, params=LEARN)

    assert second.iteration.improved is False
    assert third.iteration.starting_run == first.best.run_id


def test_a_run_that_fails_is_kept_as_failed_and_the_iteration_goes_on(
    runner: Runner, make_batch, tiny_model_folder: Path, store_uri: str
):
    result = runner.run(
        METHOD,
        make_batch(0),
        max_runs=2,
        params={"frozen_layers": 50},
        initial_model=str(tiny_model_folder),
    )

    assert [run.status for run in result.runs] == ["FAILED", "FAILED"]
    assert result.best is None
    assert result.iteration.finished_at is None
    client = MlflowClient(store_uri)
    files = {file.path for file in client.list_artifacts(result.runs[0].run_id)}
    assert files == {"manifest.json", "traceback.txt"}
    assert "frozen_layers" in result.runs[0].failure


def test_foreign_experiments_change_nothing(first: IterationResult, store_uri: str):
    before = Runner(store_uri).tracker.iterations()
    client = MlflowClient(store_uri)
    for name in (
        "iteration / x",
        "iteration / a / b / c",
        "iteration / M / not-hex",
        "Iteration / M / 65844a671089823652b83d43",
        "iteration / M / 65844a671089823652b83d43",
    ):
        experiment = client.create_experiment(name)
        client.create_run(experiment, run_name="initial_model")

    assert Runner(store_uri).tracker.iterations() == before
    assert Runner(store_uri).tracker.starting_model("M") is None


def test_every_metric_point_has_its_true_step(first: IterationResult, store_uri: str):
    client = MlflowClient(store_uri)
    run = trained(first)[0]
    history = client.get_metric_history(run.run_id, "train_loss")
    running = client.get_metric_history(run.run_id, "mean_train_loss")
    losses = [point.value for point in sorted(history, key=lambda point: point.step)]

    assert [point.step for point in history] == list(range(1, len(history) + 1))
    assert math.isclose(max(running, key=lambda point: point.step).value, sum(losses) / len(losses))
