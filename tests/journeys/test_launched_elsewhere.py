"""Workers on a Ray cluster and as jobs: one is lost in the middle, and all runs are done once."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from warm_python import WarmPython

from hooktune.tracking import Tracker
from hooktune.tracking.claims import CLAIM_PREFIX
from hooktune.tracking.records import PROCESS_TAG

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
RUNS = 8
METHOD = """
import time
from pathlib import Path
from typing import Annotated
from pydantic import BaseModel
from hooktune import SearchRange, hookimpl

NAME = "Waits For A Loss"
FLAG = Path(__file__).with_name("flag")

class Params(BaseModel):
    strength: Annotated[float, SearchRange(0.1, 1.0)] = 0.5

@hookimpl
def hyper_parameters():
    return Params

@hookimpl
def fit_batch(run, model, params):
    run.log({"train_loss": params.strength}, step=1)
    while not FLAG.exists():
        time.sleep(0.05)
    return model
"""


@pytest.fixture
def launch(tmp_path: Path, store_uri: str, make_batch, tiny_model_folder: Path):
    """Runs the method in two workers; once both are at work, `lose_one` makes one of them go."""

    def run(name: str, lose_one, **environment: str) -> str:
        method = tmp_path / "waits.py"
        method.write_text(METHOD)
        site = tmp_path / "site"
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check",
             "--no-index", "--no-deps", "--no-build-isolation", "--target", site,
             EXAMPLES / f"hooktune-{name}"],
            check=True, timeout=300,
        )  # fmt: skip
        paths = [str(site), os.environ.get("PYTHONPATH", "")]
        with WarmPython(
            "-m", "hooktune", "--tracking-uri", store_uri, "run", method, make_batch(),
            "--max-runs", RUNS, "--workers", 2, "--launch", name, "--device", "cpu",
            "--initial-model", tiny_model_folder, cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": ":".join(filter(None, paths))} | environment,
        ) as process:  # fmt: skip
            lose_one(two_at_work(store_uri, process))
            (tmp_path / "flag").touch()
            _, said = process.communicate(timeout=900)
        assert process.returncode == 0, said
        return said

    return run


def two_at_work(store: str, command: WarmPython) -> dict[str, int]:
    """The process ids of both workers by their numbers, once each has a run."""
    tracker, deadline = Tracker(store), time.monotonic() + 600
    while time.monotonic() < deadline:
        assert command.poll() is None, command.said()
        runs = [run for each in tracker.iterations() for run in tracker.runs(each)]
        processes = [json.loads(run.tags[PROCESS_TAG]) for run in runs]
        if len(runs) == 2:
            return {process["worker"]: process["pid"] for process in processes}
        time.sleep(0.2)
    raise AssertionError("the workers have begun no run")


def check_that_all_was_done_once(store: str) -> None:
    tracker = Tracker(store)
    (iteration,) = tracker.iterations()
    runs = tracker.runs(iteration)
    assert Counter(run.status for run in runs) == {"FINISHED": RUNS + 1}, "and their average"
    assert len({run.run_key for run in runs}) == RUNS + 1
    assert tracker.runs_with_model(iteration) <= {iteration.best_run}
    tags = tracker.client.get_experiment(iteration.experiment_id).tags
    assert not [tag for tag in tags if tag.startswith(CLAIM_PREFIX)]


@pytest.mark.long
def test_a_job_that_is_killed_leaves_its_run_to_the_other(launch, store_uri: str):
    pytest.importorskip("submitit")
    said = launch(
        "slurm",
        lambda workers: os.kill(workers["2"], signal.SIGKILL),
        HOOKTUNE_SLURM="cluster=local timeout_min=30",
    )
    assert "the others take over" in said
    check_that_all_was_done_once(store_uri)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_a_node_of_ray_that_is_lost_leaves_its_run_to_the_other(launch, store_uri: str):
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    second = cluster.add_node(num_cpus=1)
    try:
        said = launch(
            "ray",
            lambda workers: cluster.remove_node(second, allow_graceful=False),
            RAY_ADDRESS=cluster.address,
        )
        assert "Ray has lost it" in said
        assert "the others take over" in said
        check_that_all_was_done_once(store_uri)
    finally:
        cluster.shutdown()
