"""Models in the tracking store, as stock MLflow sees them, on disk and through a server."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from champions import no_host
from sentence_transformers import SentenceTransformer
from tracked import METHOD, SHIFT, begin, do_run, finish, initial_run, model_folders, start_run

from hooktune import load_champion
from hooktune.checkpoint import Checkpoint
from hooktune.errors import RequestError, UnsafeModelError
from hooktune.promotion import promote
from hooktune.testing import tiny_model
from hooktune.tracker import Tracker

STOCK = """
import sys
sys.modules["hooktune"] = None  # cannot be imported
import mlflow, mlflow.sentence_transformers
mlflow.set_tracking_uri(sys.argv[1])
for address in sys.argv[2:]:
    model = mlflow.sentence_transformers.load_model(address)
    print(*model.encode("apple bread").tolist())
"""


@pytest.fixture
def tracker(store_uri: str) -> Tracker:
    return Tracker(store_uri)


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
    loaded = subprocess.run(
        [sys.executable, "-c", STOCK, tracker.tracking_uri, *addresses],
        capture_output=True, text=True, timeout=150, check=True,
    )  # fmt: skip
    for line in loaded.stdout.splitlines()[-2:]:
        np.testing.assert_allclose(
            [float(number) for number in line.split()], model.encode("apple bread"), rtol=1e-5
        )


def test_a_model_is_loaded_and_exported_from_a_folder_with_blanks_and_umlauts(
    tmp_path: Path, empty_store: Path
):
    folder = tmp_path / "a store, größer 100%"
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db")
    run = initial_run(tracker)
    tracker.export_model(run, tmp_path / "exported")
    exported = SentenceTransformer(str(tmp_path / "exported"), device="cpu")
    np.testing.assert_array_equal(exported.encode("apple"), run.load_model("cpu").encode("apple"))
    with pytest.raises(RequestError, match="not an empty folder"):
        tracker.export_model(run, tmp_path / "exported")
    finish(tracker, 1, 0.1, 0.2)
    assert len(model_folders(tracker)) == 2


def test_a_run_without_a_model_says_so(tracker: Tracker):
    iteration = begin(tracker)
    old = do_run(tracker, iteration, 0.1)
    do_run(tracker, iteration, 0.2)
    assert not tracker.has_model(old)
    with pytest.raises(RequestError, match=f"Run {old.run_id} .* has no model"):
        old.load_model()


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
        patch.setattr("hooktune.tracker.models.delete_model", lambda *_: None)
        patch.setattr(tracker.client, "set_terminated", lambda *_: None)
        patch.setattr(tracker.client, "finalize_logged_model", interrupt)
        with pytest.raises(KeyboardInterrupt):
            tracker.upload_initial_model(METHOD, tiny_model(), {})
    assert len(model_folders(tracker)) == 1
    assert tracker.initial_run(METHOD) is None

    run = initial_run(tracker)
    assert tracker.has_model(run)
    assert len(model_folders(tracker)) == 1


@pytest.fixture
def server_uri(tmp_path: Path, empty_store: Path) -> Iterator[str]:
    """An MLflow server of the test's own, which serves artifacts too."""
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db", "--serve-artifacts",
        "--artifacts-destination", str(tmp_path / "served"), "--workers", "1",
    ]  # fmt: skip
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    log = (tmp_path / "server.log").open("w")
    server = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "server.log").read_text()
                time.sleep(0.1)
        yield uri
    finally:
        os.killpg(server.pid, 15)  # the server's own session: itself and its workers
        server.wait(timeout=30)
        log.close()


def test_all_of_it_works_through_a_server(server_uri: str, tmp_path: Path):
    tracker = Tracker(server_uri)
    served = tmp_path / "served"
    assert tracker.iterations() == []
    first = finish(tracker, 1, 0.1, 0.2)
    assert tracker.best(first).metrics == {SHIFT: 0.2}
    assert tracker.best(first).load_model("cpu").get_embedding_dimension() == 32
    assert len(list(served.rglob("model.safetensors"))) == 2

    second = finish(tracker, 2, 0.3)
    assert tracker.starting_model(METHOD).run_id == second.best_run
    assert tracker.top_params(first, 1) == [{"value": "0.2"}]
    assert len(list(served.rglob("model.safetensors"))) == 2
    with pytest.raises(RequestError, match="has no model"):
        tracker.run(first.best_run).load_model()
    with pytest.raises(RequestError, match="There is no run"):
        tracker.run("0" * 32)
    dead = start_run(tracker, second, 0.1)
    kept = tracker.checkpoints(dead, every=0)
    for step in (1, 2):
        kept.write(Checkpoint(step, {"weights": torch.ones(step)}, {}))
    assert tracker.checkpoints(tracker.run(dead.run_id), every=0).read().step == 2
    assert len(list(served.rglob("tensors.safetensors"))) == 1
    tracker.log_text(dead, "why", "traceback.txt")
    assert tracker.end_run(dead, "FAILED", "no luck").failure == "no luck"
    assert not list(served.rglob("tensors.safetensors"))

    assert promote(tracker, METHOD, no_host, force=True).champion.number == 1
    served_model = load_champion(METHOD, server_uri, device="cpu")
    assert served_model.encode("apple").shape == (32,)
    (weights,) = served.rglob(f"{tracker.run(second.best_run).model_id}/**/model.safetensors")
    (weights.parent / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(UnsafeModelError, match=r"pytorch_model\.bin"):
        tracker.run(second.best_run).load_model("cpu")
    with pytest.raises(UnsafeModelError, match="version 1"):
        load_champion(METHOD, server_uri)
