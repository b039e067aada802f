"""Workers: several processes of one command, some of which do not live to its end."""

import json
import signal
import time
from pathlib import Path

import pytest
from warm_python import WarmPython

from hooktune.processes import has_died
from hooktune.tracking import RunRecord, Tracker
from hooktune.tracking.claims import CLAIM_PREFIX
from hooktune.tracking.records import PROCESS_TAG

pytestmark = pytest.mark.long

METHOD = """
import os, signal, time
from pathlib import Path
from typing import Annotated
from pydantic import BaseModel
from hooktune import SearchRange, hookimpl

NAME = "Slow Start"
WORKER = os.environ.get("HOOKTUNE_WORKER")
FLAG = Path(__file__).with_name("flag")

class Params(BaseModel):
    strength: Annotated[float, SearchRange(0.1, 1.0)] = 0.5

@hookimpl
def hyper_parameters():
    return Params

@hookimpl
def fit_batch(run, model, params):
    run.log({"train_loss": 1.0}, step=1)
"""
# The first worker waits for the second one, which dies in the middle of its run.
ONE_DIES = """
    if WORKER == "2":
        FLAG.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while not FLAG.exists():
        time.sleep(0.05)
    return model
"""
WITHOUT_END = """
    while True:
        time.sleep(0.05)
"""


def begin(store: str, method: Path, batch: Path, model: Path, *options: object):
    return WarmPython(
        "-m", "hooktune", "--tracking-uri", store, "run", method, batch,
        "--workers", 2, "--device", "cpu", "--initial-model", model, *options,
    )  # fmt: skip


@pytest.fixture
def method(tmp_path: Path):
    def write(ending: str) -> Path:
        file = tmp_path / "slow_start.py"
        file.write_text(METHOD + ending)
        return file

    return write


def runs_of(store: str, count: int = 0) -> list[RunRecord]:
    """The runs of the only iteration, once there are so many of them."""
    tracker, deadline = Tracker(store), time.monotonic() + 300
    while time.monotonic() < deadline:
        runs = [run for each in tracker.iterations() for run in tracker.runs(each)]
        if len(runs) >= count:
            return runs
        time.sleep(0.2)
    raise AssertionError("the runs were not begun")


def test_what_a_worker_that_dies_leaves_the_others_do(
    store_uri: str, make_batch, tiny_model_folder: Path, method
):
    with begin(
        store_uri, method(ONE_DIES), make_batch(), tiny_model_folder, "--max-runs", 3, "--json"
    ) as process:
        printed, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert "worker 2 was lost; the others take over what it was doing." in said
    runs = json.loads(printed)["runs"]
    assert [run["status"] for run in runs] == ["FINISHED"] * 4, "three runs and their average"
    assert len({run["run_id"] for run in runs}) == 4
    tracker = Tracker(store_uri)
    (iteration,) = tracker.iterations()
    tags = tracker.client.get_experiment(iteration.experiment_id).tags
    assert not [tag for tag in tags if tag.startswith(CLAIM_PREFIX)]
    # Each worker is known by its number, and the taken-over run is the first one's.
    workers = [json.loads(run.tags[PROCESS_TAG])["worker"] for run in runs_of(store_uri)]
    assert workers == ["1"] * 4


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_all_workers_end_with_the_command_however_it_ends(
    store_uri: str, make_batch, tiny_model_folder: Path, method, number: signal.Signals
):
    with begin(store_uri, method(WITHOUT_END), make_batch(), tiny_model_folder) as process:
        workers = [run.tags[PROCESS_TAG] for run in runs_of(store_uri, 2)]
        process.send_signal(number)
        process.wait(timeout=120)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGKILL: -9}[number]
    deadline = time.monotonic() + 120
    while not all(map(has_died, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [run.status for run in runs_of(store_uri)] == ["KILLED", "KILLED"]


def test_a_wrong_request_is_told_once(store_uri: str, make_batch, tiny_model_folder: Path, method):
    with begin(
        store_uri, method(ONE_DIES), make_batch(), tiny_model_folder, "--param", "strenght=1"
    ) as process:
        _, said = process.communicate(timeout=600)
    assert process.returncode == 2
    assert said.count("strenght") == 1
