"""One run on several devices: two processes on the CPU, which link up as accelerators would."""

import shutil
import subprocess
from pathlib import Path

import pytest
from warm_python import run_python

from hooktune import Runner
from hooktune.tracking import Tracker

pytestmark = pytest.mark.long

METHOD = "Default Fine Tuning Method"


def hooktune(*arguments: object) -> subprocess.CompletedProcess[str]:
    return run_python("-m", "hooktune", *arguments)


def histories(uri: str) -> dict[str, list[tuple[int, float]]]:
    """The steps and values of all metrics of the only run of a store."""
    tracker = Tracker(uri)
    (iteration,) = tracker.iterations(METHOD)
    (run,) = tracker.runs(iteration)
    assert run.status == "FINISHED"
    assert tracker.load_model(run, "cpu").get_embedding_dimension() == 32
    points = {name: tracker.client.get_metric_history(run.run_id, name) for name in run.metrics}
    return {
        name: [(point.step, point.value) for point in found]
        for name, found in points.items()
        if not name.endswith("seconds")
    }


def test_two_processes_track_one_run_with_the_metrics_of_one_process(
    store_uri: str, tmp_path: Path, empty_store: Path, make_batch, tiny_model_folder: Path
):
    batch = make_batch(sessions=80, queries=50)
    Runner(store_uri).run(
        METHOD, batch, max_runs=1, device="cpu", initial_model=str(tiny_model_folder),
        params={"mini_batch_size": 8, "precision": "float32", "attraction": 0.3},
    )  # fmt: skip
    other = shutil.copy(empty_store, tmp_path / "other.db")
    done = hooktune(
        "--tracking-uri", f"sqlite:///{other}", "run", METHOD, batch, "--max-runs", 1,
        "--device", "cpu", "--devices", 2, "--param", "mini_batch_size=8",
        "--param", "precision=float32", "--param", "attraction=0.3",
        "--initial-model", tiny_model_folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("FINISHED") == 1
    alone, together = histories(store_uri), histories(f"sqlite:///{other}")
    assert len(alone["train_loss"]) > 5
    assert "query_map_step" in alone
    assert alone.keys() == together.keys()
    for name, points in alone.items():
        assert together[name] == [(step, pytest.approx(value, abs=1e-4)) for step, value in points]


def test_a_wrong_request_is_told_once_and_ends_all_processes(
    store_uri: str, make_batch, tiny_model_folder: Path
):
    done = hooktune(
        "--tracking-uri", store_uri, "run", METHOD, make_batch(), "--device", "cpu",
        "--devices", 2, "--param", "marjin=1", "--initial-model", tiny_model_folder,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("marjin") == 1
    assert "Traceback" not in done.stderr


ALONE = """
from hooktune import hookimpl, train, TrainingParams

@hookimpl
def hyper_parameters():
    return TrainingParams

@hookimpl
def fit_batch(run, model, batch, params):
    def loss(sessions, scores):
        if run.rank == {rank} and scores.requires_grad:
            raise ValueError("this device is broken")
        return scores.mean()

    return train(run, model, batch, loss, params)
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_fails_alone_ends_all_and_says_why(
    store_uri: str, make_batch, tiny_model_folder: Path, tmp_path: Path, rank: int
):
    method = tmp_path / "alone.py"
    method.write_text(ALONE.format(rank=rank))
    done = hooktune(
        "--tracking-uri", store_uri, "run", method, make_batch(), "--device", "cpu",
        "--devices", 2, "--max-runs", 2, "--initial-model", tiny_model_folder,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"Process {rank} of 2 failed alone" in done.stderr
    assert "this device is broken" in done.stderr
    tracker = Tracker(store_uri)
    (iteration,) = tracker.iterations("Alone")
    (run,) = tracker.runs(iteration)
    assert run.status == "FAILED"
