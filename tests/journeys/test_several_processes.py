"""Four processes on one iteration and one store: no run twice, and one best model."""

import json
import os
import shutil
from pathlib import Path

import pytest
from servers import MlflowServer
from warm_python import run_python

from hooktune.tracking import Tracker
from hooktune.tracking.claims import CLAIM_PREFIX

pytestmark = pytest.mark.long

METHOD = "Default Fine Tuning Method"
SHIFT = "test_not_irrelevant_dist_shift"
RUNS = 8

# Forks, since each interpreter would take seconds to import all that is needed.
FOUR_AT_ONCE = """
import json, os, sys, traceback
import torch, mlflow.sentence_transformers, sentence_transformers
import hooktune_default, hooktune_metrics
from hooktune.iteration.runner import Runner

torch.set_num_threads(1)
batch, model, runs, folder, *uris = sys.argv[1:]


def run(uri, number):
    result = Runner(uri).run(
        "Default Fine Tuning Method", batch, max_runs=int(runs), initial_model=model,
        device="cpu", params={"epochs": 1, "mini_batch_size": 4, "attraction": 0.3},
    )
    outcome = {
        "trained": result.attempted,
        "best": result.best.run_id,
        "runs": [[run.run_id, run.status] for run in result.runs],
        "finished_at": result.iteration.finished_at,
    }
    with open(f"{folder}/{uri.split(':')[0]}-{number}.json", "w") as file:
        json.dump(outcome, file)


for uri in uris:
    children = []
    for number in range(4):
        if child := os.fork():
            children.append(child)
            continue
        status = 1
        try:
            run(uri, number)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
"""


def run_four_at_once(uris: list[str], batch: Path, model: Path, folder: Path) -> list[list[dict]]:
    """Runs an iteration by four processes in each store; returns what each of them makes of it."""
    (folder / "tmp").mkdir(parents=True)
    arguments = [str(batch), str(model), str(RUNS), str(folder), *uris]
    environment = os.environ | {"TMPDIR": str(folder / "tmp")}
    done = run_python("-c", FOUR_AT_ONCE, *arguments, env=environment, timeout=400)
    assert done.returncode == 0, done.stderr
    ours = [path for path in (folder / "tmp").iterdir() if "hooktune" in path.name]
    assert ours == [], "nothing is left in the temp folder"
    return [
        [json.loads((folder / f"{uri.split(':')[0]}-{each}.json").read_text()) for each in range(4)]
        for uri in uris
    ]


def check(uri: str, outcomes: list[dict], artifacts: Path) -> None:
    tracker = Tracker(uri)
    (iteration,) = tracker.iterations()
    runs = tracker.runs(iteration)

    assert sum(each["trained"] for each in outcomes) == RUNS + 1
    assert len(runs) == RUNS + 1
    (average,) = (run for run in runs if run.average_of)
    assert {*average.average_of} == {run.run_id for run in runs} - {average.run_id}
    assert average.name == f"average of {RUNS} runs"
    assert not [path for path in artifacts.rglob("*") if path.name == "weights"]
    assert {run.status for run in runs} == {"FINISHED"}
    assert len({run.run_key for run in runs}) == RUNS + 1, (
        "no set of hyper-parameters was run twice"
    )
    seen = [{key: each[key] for key in ("best", "runs", "finished_at")} for each in outcomes]
    assert seen == [seen[0]] * 4, "all see the same end"

    best = tracker.best(iteration)
    assert best.metrics[SHIFT] == max(run.metrics[SHIFT] for run in runs)
    assert tracker.runs_with_model(iteration) == {best.run_id}
    assert tracker.load_model(best, "cpu").get_embedding_dimension() == 32
    assert len(list(artifacts.rglob("model.safetensors"))) == 2, "the best one and the initial one"
    tags = tracker.client.get_experiment(iteration.experiment_id).tags
    assert not [tag for tag in tags if tag.startswith(CLAIM_PREFIX)]
    initial = tracker.client.get_experiment_by_name("iteration / initial")
    assert len(tracker.client.search_runs([initial.experiment_id])) == 1


def test_four_processes_on_a_new_sqlite_store_and_on_one_server(
    make_batch, tiny_model_folder: Path, tmp_path: Path, empty_store: Path
):
    batch, store, served = make_batch(), tmp_path / "store", tmp_path / "server"
    store.mkdir()
    served.mkdir()
    local = f"sqlite:///{store}/mlflow.db"
    shutil.copy(empty_store, served / "mlflow.db")
    backend, artifacts = f"sqlite:///{served}/mlflow.db", str(served / "served")
    with MlflowServer(backend, artifacts, served / "server.log") as server:
        uris = [local, server.uri]
        outcomes = run_four_at_once(uris, batch, tiny_model_folder, tmp_path / "out")
        check(local, outcomes[0], store / "mlruns")
        check(server.uri, outcomes[1], served / "served")
    assert {path.name for path in store.iterdir()} == {"mlflow.db", "mlruns"}
