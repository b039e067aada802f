"""Ctrl-C, being told to end, a closed terminal: the run is KILLED, what was tracked stays."""

import os
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from warm_python import WarmPython

pytestmark = pytest.mark.long

METHOD = "Default Fine Tuning Method"


def wait_for_points(client: MlflowClient, name: str) -> str:
    """Waits until a run of an iteration has metrics; returns its id."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        experiment = client.get_experiment_by_name(name)
        for run in client.search_runs([experiment.experiment_id]) if experiment else []:
            if client.get_metric_history(run.info.run_id, "train_loss"):
                return run.info.run_id
        time.sleep(0.2)
    raise AssertionError("no metric point came")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_is_killed_and_its_metrics_stay(
    number: signal.Signals, store_uri: str, make_batch, tiny_model_folder: Path, tmp_path: Path
):
    from hooktune.data.manifest import read_manifest

    batch = make_batch()
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    client = MlflowClient(store_uri)
    with WarmPython(
        "-m", "hooktune", "--tracking-uri", store_uri, "run", METHOD, batch,
        "--param", "epochs=1000", "--param", "evaluations_per_epoch=0",
        "--initial-model", tiny_model_folder,
        env={**os.environ, "TMPDIR": str(scratch)},
    ) as process:  # fmt: skip
        run_id = wait_for_points(client, f"iteration / {METHOD} / {read_manifest(batch).batch_id}")
        process.send_signal(number)
        _, said = process.communicate(timeout=120)

    assert process.returncode == 130
    assert "Interrupted" in said
    assert "Traceback" not in said
    run = client.get_run(run_id)
    assert run.info.status == "KILLED"
    assert run.data.metrics["train_loss"] > 0
    assert list(scratch.iterdir()) == []
