"""kill -9 at any moment of an iteration: the next call goes on, and nothing tells the difference.

`HOOKTUNE_KILLS` says at how many random moments; with 40 it takes many minutes.
"""

import json
import os
from pathlib import Path

import pytest
from warm_python import run_python

pytestmark = pytest.mark.long

KILLS = int(os.environ.get("HOOKTUNE_KILLS", "2"))

# Where a model is stored, kept and replaced: the call of MlflowClient, whether to die before or
# after it, what it is about, and at which time. The first model of all is the initial one.
MODEL_STEPS = [
    ("create_logged_model", "before", "", 2),
    ("create_logged_model", "after", "", 2),
    ("log_model_artifacts", "after", "", 2),
    ("finalize_logged_model", "before", "", 2),
    ("finalize_logged_model", "after", "", 2),
    ("set_experiment_tag", "after", "hooktune.best_run", 1),
    ("delete_logged_model", "before", "", 1),
    ("delete_logged_model", "after", "", 1),
    ("set_terminated", "before", "", 2),
    ("set_terminated", "after", "", 2),
]
SOME_MODEL_STEPS = [MODEL_STEPS[4], MODEL_STEPS[9]]

# The same for the average of runs: weights are kept, the average begins, is measured and kept, and
# the weights are deleted.
AVERAGE_STEPS = [
    ("set_tag", "before", "hooktune.weights", 1),
    ("log_artifacts", "before", "weights", 1),
    ("log_artifacts", "after", "weights", 2),
    ("set_tag", "after", "hooktune.weights", 4),
    ("create_run", "before", "average of", 1),
    ("create_run", "after", "average of", 1),
    ("log_batch", "after", "hooktune.intervals", 3),
    ("set_terminated", "before", "", 4),
    ("set_terminated", "after", "", 4),
    ("delete_tag", "before", "hooktune.weights", 1),
    ("delete_tag", "after", "hooktune.weights", 1),
    ("delete_tag", "after", "hooktune.weights", 2),
]
SOME_AVERAGE_STEPS = [AVERAGE_STEPS[3], AVERAGE_STEPS[6], AVERAGE_STEPS[10]]

# Forks, since each interpreter would take seconds to import all that is needed.
SCRIPT = r"""
import json, os, random, re, shutil, signal, sys, time, traceback
from pathlib import Path
import torch, mlflow.sentence_transformers, sentence_transformers
import hooktune_default, hooktune_metrics, hooktune_search
from mlflow import MlflowClient
from hooktune.iteration.runner import Runner
from hooktune.tracking import Tracker

torch.set_num_threads(1)
given = json.loads(sys.argv[1])
work = Path(given["work"])


def iterate(folder):
    Runner(f"sqlite:///{folder}/mlflow.db").run(
        "Default Fine Tuning Method", given["batch"], max_runs=2, initial_model=given["model"],
        device="cpu", checkpoint_every=0.1,
        params={"epochs": 2, "mini_batch_size": 4, "dropout": True, "attraction": 0.3},
    )


def die_at(function, when, about, count):
    wrapped, left = getattr(MlflowClient, function), [count]

    def die(*args, **kwargs):
        left[0] -= about in str((args, kwargs))
        if left[0]:
            return wrapped(*args, **kwargs)
        if when == "after":
            wrapped(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(MlflowClient, function, die)


def picture(folder):
    "All that an iteration has left, but for ids and times."
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db")
    (iteration,) = tracker.iterations()
    runs, client = tracker.runs(iteration), tracker.client

    def history(run, name):
        points = client.get_metric_history(run.run_id, name)
        return sorted([point.step, point.value] for point in points)

    def histories_of(run):
        return {name: history(run, name) for name in run.metrics if name != "fit_seconds"}

    best = tracker.best(iteration)
    assert tracker.load_model(best, "cpu").get_embedding_dimension() == 32
    tags = client.get_experiment(iteration.experiment_id).tags
    files = [path for path in (folder / "mlruns").rglob("*") if path.is_file()]
    names = [re.sub(r"(m-)?[0-9a-f]{32}", "*", str(path.relative_to(folder))) for path in files]
    return {
        "runs": sorted([run.status, run.params.get("learning_rate", 0.0)] for run in runs),
        "names": sorted(run.name for run in runs),
        "averages": [len(run.average_of) for run in runs if run.average_of],
        "starting": iteration.starting_metrics,
        "histories": {json.dumps(run.params): histories_of(run) for run in runs},
        "best": best.params,
        "models": [tracker.run(each).params for each in tracker.runs_with_model(iteration)],
        "finished": iteration.finished_at is not None,
        "claims": [tag for tag in tags if tag.startswith("hooktune.claim.")],
        "files": sorted(names),
        "scratch": [path.name for path in (work / "tmp").iterdir() if "hooktune" in path.name],
    }


def child(deed, *args):
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        deed(*args)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def must_end_well(process):
    assert os.waitpid(process, 0)[1] == 0


def look(folder):
    (work / "picture.json").write_text(json.dumps(picture(folder)))


def picture_of(folder):
    must_end_well(child(look, folder))
    return json.loads((work / "picture.json").read_text())


def new_store():
    folder = Path(work, "store")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    shutil.copy(given["empty_store"], folder / "mlflow.db")
    return folder


def iterate_and_die(folder, moment):
    die_at(*moment)
    iterate(folder)


def check(folder, what):
    process = child(iterate, folder)
    must_end_well(process)
    found = picture_of(folder)
    if found != reference:
        wrong = {key: (found[key], reference[key]) for key in found if found[key] != reference[key]}
        sys.exit(f"{what}: {json.dumps(wrong)[:3000]}")


folder = new_store()
began = time.monotonic()
must_end_well(child(iterate, folder))
seconds = time.monotonic() - began
reference = picture_of(folder)
chance = random.Random(given["seed"])
kills, seconds_at, died_at = 0, [], []
while kills < given["kills"]:
    folder = new_store()
    for _ in range(2):  # the second one is at the going on
        moment = chance.uniform(0, seconds)
        process = child(iterate, folder)
        time.sleep(moment)
        os.kill(process, signal.SIGKILL)
        killed = os.waitpid(process, 0)[1]
        assert killed in (0, signal.SIGKILL)
        killed = bool(killed)
        kills += killed
        seconds_at += [round(moment, 2)] if killed else []
    check(folder, f"killed at {seconds_at[-2:]} of {seconds:.1f} seconds")
for moment in given["model_steps"]:
    folder = new_store()
    died_at += [moment] if os.waitpid(child(iterate_and_die, folder, moment), 0)[1] else []
    check(folder, f"killed at {moment}")
outcome = {"kills": kills, "seconds": seconds, "at": seconds_at, "died_at": died_at}
print(json.dumps({"reference": reference, **outcome}))
"""


def test_an_iteration_that_is_killed_again_and_again_ends_as_if_it_had_not_been(
    make_batch, tiny_model_folder: Path, empty_store: Path, tmp_path: Path
):
    (tmp_path / "tmp").mkdir()
    given = {
        "work": str(tmp_path),
        "batch": str(make_batch()),
        "model": str(tiny_model_folder),
        "empty_store": str(empty_store),
        "kills": KILLS,
        "seed": int(os.environ.get("HOOKTUNE_SEED", "0")),
        "model_steps": [*MODEL_STEPS, *AVERAGE_STEPS]
        if len(MODEL_STEPS) <= KILLS
        else [*SOME_MODEL_STEPS, *SOME_AVERAGE_STEPS],
    }
    done = run_python(
        "-c", SCRIPT, json.dumps(given),
        timeout=300 + 120 * KILLS, env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    reference = outcome.pop("reference")
    print(outcome)
    assert [status for status, _ in reference["runs"]] == ["FINISHED"] * 3
    assert reference["averages"] == [2]
    assert reference["models"] == [reference["best"]]
    assert (reference["claims"], reference["scratch"]) == ([], [])
    assert not [file for file in reference["files"] if "checkpoint" in file or "weights" in file]
    assert len([file for file in reference["files"] if file.endswith("model.safetensors")]) == 2
    assert outcome["kills"] >= KILLS
    assert outcome["died_at"]
