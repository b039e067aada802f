"""Models in a tracking store that is a server, artifacts and all."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from champions import no_host
from servers import MlflowServer
from tracked import METHOD, SHIFT, finish, start_run

from hooktune import load_champion
from hooktune.contract.checkpoint import Checkpoint
from hooktune.errors import RequestError, UnsafeModelError
from hooktune.evaluation.promotion import promote
from hooktune.tracking import Tracker


@pytest.fixture
def server_uri(tmp_path: Path, empty_store: Path) -> Iterator[str]:
    """An MLflow server of the test's own, which serves artifacts too."""
    (tmp_path / "mlflow.db").write_bytes(empty_store.read_bytes())
    database, served = f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "served")
    with MlflowServer(database, served, tmp_path / "server.log") as server:
        yield server.uri


def test_all_of_it_works_through_a_server(server_uri: str, tmp_path: Path):
    tracker = Tracker(server_uri)
    served = tmp_path / "served"
    assert tracker.iterations() == []
    first = finish(tracker, 1, 0.1, 0.2)
    assert tracker.best(first).metrics == {SHIFT: 0.2}
    assert tracker.load_model(tracker.best(first), "cpu").get_embedding_dimension() == 32
    assert len(list(served.rglob("model.safetensors"))) == 2

    second = finish(tracker, 2, 0.3)
    assert tracker.starting_model(METHOD).run_id == second.best_run
    assert len(list(served.rglob("model.safetensors"))) == 2
    with pytest.raises(RequestError, match="has no model"):
        tracker.load_model(tracker.run(first.best_run))
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
        tracker.load_model(tracker.run(second.best_run), "cpu")
    with pytest.raises(UnsafeModelError, match="version 1"):
        load_champion(METHOD, server_uri)
