"""Models on their way into the tracking store: as stock MLflow loads them, or not at all."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from tracked import METHOD, begin, initial_run, model_folders, start_run
from warm_python import run_python

from hooktune.testing import tiny_model
from hooktune.tracking import Tracker

STOCK = """
import sys
sys.modules["hooktune"] = None  # cannot be imported
import mlflow, mlflow.sentence_transformers
mlflow.set_tracking_uri(sys.argv[1])
for address in sys.argv[2:]:
    model = mlflow.sentence_transformers.load_model(address)
    print(*model.encode("apple bread").tolist())
"""


def test_stock_mlflow_loads_a_model_that_holds_no_pickle_and_no_path_of_this_machine(
    tracker: Tracker, tiny_model_folder: Path
):
    model = SentenceTransformer(str(tiny_model_folder), device="cpu")
    run = tracker.upload_initial_model(METHOD, model, {})

    (folder,) = model_folders(tracker)
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {"", ".md", ".json", ".yaml", ".txt", ".safetensors"}
    for path in files:
        assert str(tiny_model_folder).encode() not in path.read_bytes(), path
        assert str(folder.parents[2]).encode() not in path.read_bytes(), path

    addresses = [run.model_uri, f"models:/{run.model_id}"]
    loaded = run_python("-c", STOCK, tracker.tracking_uri, *addresses)
    assert loaded.returncode == 0, loaded.stderr
    for line in loaded.stdout.splitlines()[-2:]:
        np.testing.assert_allclose(
            [float(number) for number in line.split()], model.encode("apple bread"), rtol=1e-5
        )


def test_a_model_that_was_loaded_to_be_checked_is_freed_at_once(tracker: Tracker):
    checked: list[weakref.ref[SentenceTransformer]] = []
    iteration = begin(tracker)
    run = start_run(tracker, iteration, 0.2, "checked")
    gc.disable()
    try:
        tracker.keep_if_best(run, tiny_model(), 1, lambda model: checked.append(weakref.ref(model)))
        assert [model() for model in checked] == [None]
    finally:
        gc.enable()


def test_an_upload_that_fails_leaves_nothing(tracker: Tracker, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    begin(tracker)
    monkeypatch.setattr(tracker.client, "log_model_artifacts", fail)
    with pytest.raises(OSError, match="no space left"):
        tracker.upload_initial_model("Another Method", tiny_model(), {})
    assert tracker.initial_run("Another Method") is None
    assert len(model_folders(tracker)) == 1


def test_what_a_dead_process_left_of_an_initial_model_is_removed(tracker: Tracker, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hooktune.tracking.models.uploading.delete_model", lambda *_: None)
        patch.setattr(tracker.client, "set_terminated", lambda *_: None)
        patch.setattr(tracker.client, "finalize_logged_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tracker.upload_initial_model(METHOD, tiny_model(), {})
    assert len(model_folders(tracker)) == 1
    assert tracker.initial_run(METHOD) is None

    run = initial_run(tracker)
    assert tracker.has_model(run)
    assert len(model_folders(tracker)) == 1
