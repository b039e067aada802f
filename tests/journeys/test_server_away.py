"""A tracking server that goes away in mid-training: for a while, and for good."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from servers import MlflowServer

from hooktune import Runner, hookimpl
from hooktune.cli import main
from hooktune.testing import tiny_model
from hooktune.tracking import Tracker, outage

pytestmark = pytest.mark.long

LONG = bool(os.environ.get("HOOKTUNE_LONG_TESTS"))
AWAY = 30.0 if LONG else 3.0
"""For how many seconds the server is away, besides the time that it takes to start."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, folder / "server.db")
    started = MlflowServer(
        f"sqlite:///{folder / 'server.db'}", str(folder / "artifacts"), folder / "server.log"
    )
    started.start()
    try:
        started.wait()
        yield started
    finally:
        started.stop()


class Paced:
    """A method that logs slowly, and lets something happen beside it at each step."""

    NAME = "Paced"

    def __init__(self, beside: Callable[[int], None] = lambda step: None) -> None:
        self.beside = beside

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def fit_batch(self, run, model, batch):
        for step in range(1, 101):
            run.log({"train_loss": 1 / step}, step)
            if step % 20 == 0:
                with torch.no_grad():
                    model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += 0.1
                run.evaluate(model, step)
            self.beside(step)
        return model


def histories(uri: str, run_id: str) -> Counter[tuple[str, int, float]]:
    """All metric points of a run, but for the seconds that it took."""
    client = MlflowClient(uri)
    names = set(client.get_run(run_id).data.metrics) - {"fit_seconds"}
    return Counter(
        (name, point.step, point.value)
        for name in names
        for point in client.get_metric_history(run_id, name)
    )


def test_every_point_arrives_once_though_the_server_is_away_for_a_while(
    server: MlflowServer, store_uri: str, make_batch, tmp_path: Path, caplog
):
    stopped_at = []

    def go_away(step: int) -> None:
        if step == 30:
            time.sleep(1.5)  # the first points are stored
            server.stop()
            stopped_at.append(time.monotonic())
        if step == 80:
            # 50 steps have been done without the server.
            time.sleep(max(AWAY - (time.monotonic() - stopped_at[0]), 0))
            server.start()

    batch = make_batch()
    undisturbed = Runner(store_uri, plugins=[Paced()]).run("Paced", batch, max_runs=1)
    runner = Runner(server.uri, plugins=[Paced(go_away)], spool=tmp_path / "spool")
    disturbed = runner.run("Paced", batch, max_runs=1)

    assert "the tracking store is away" in caplog.text
    (run,) = disturbed.runs
    assert run.status == "FINISHED"
    assert run == disturbed.best
    points = histories(server.uri, run.run_id)
    assert points == histories(store_uri, undisturbed.best.run_id)
    assert points["train_loss", 50, 1 / 50] == 1
    assert run.metrics.keys() == undisturbed.best.metrics.keys()
    expected = undisturbed.load_model("cpu").encode("apple")
    assert (disturbed.load_model("cpu").encode("apple") == expected).all()
    assert not (tmp_path / "spool").exists()


METHOD_FILE = """
import os, signal
import torch
from hooktune import hookimpl
from hooktune.testing import tiny_model

NAME = "Bereft"


@hookimpl
def upload_initial_model(settings):
    return tiny_model(settings.seed)


@hookimpl
def fit_batch(run, model, batch):
    for step in range(1, 11):
        run.log({"train_loss": 1 / step}, step)
        if step == 5:
            os.kill(int(os.environ.pop("SERVER_TO_KILL")), signal.SIGKILL)
    with torch.no_grad():
        model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += 0.5
    return model
"""


def test_a_server_that_never_comes_back_costs_nothing_that_was_learned(
    server: MlflowServer,
    make_batch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    def hooktune(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as end:
            main(["--tracking-uri", server.uri, *map(str, arguments)])
        printed = capsys.readouterr()
        return int(end.value.code or 0), " ".join((printed.out + printed.err).split())

    method, batch = tmp_path / "bereft.py", make_batch()
    method.write_text(METHOD_FILE, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(outage, "PATIENCE", 2.0)
    monkeypatch.setenv("SERVER_TO_KILL", str(server.process.pid))
    began = time.monotonic()
    status, said = hooktune("run", method, batch, "--max-runs", "1", "--device", "cpu")
    assert status == 1, said
    assert time.monotonic() - began < 60
    assert "waiting for the tracking store, 2 seconds at most" in said
    assert "is not lost: what it has measured, with its model, is in" in said
    assert "When it is back, give the same command again" in said
    assert "hooktune sync" in said
    assert "View run" not in said, "MLflow prints where it should not"
    (folder,) = (tmp_path / "hooktune-spool").iterdir()
    assert hooktune("sync")[0] == 2

    server.stop()
    server.start()
    server.wait()
    tracker = Tracker(server.uri)
    assert tracker.run(folder.name).status == "RUNNING"
    status, said = hooktune("sync")
    assert status == 0, said
    assert "the best model, FINISHED" in said
    run = tracker.run(folder.name)
    assert run.status == "FINISHED"
    points = histories(server.uri, run.run_id)
    assert [points["train_loss", step, 1 / step] for step in range(1, 11)] == [1] * 10
    assert run.metrics["test_mrr"] > 0
    assert tracker.load_model(run, "cpu").encode("apple").shape == (32,)
    artifacts = [each.path for each in tracker.client.list_artifacts(run.run_id)]
    assert "manifest.json" in artifacts

    status, said = hooktune("sync")
    assert (status, "There is nothing to deliver" in said) == (0, True)
    assert histories(server.uri, run.run_id) == points
    assert not (tmp_path / "hooktune-spool").exists()

    # The same command finishes the iteration, and trains nothing again.
    status, said = hooktune("run", method, batch, "--max-runs", "1", "--device", "cpu")
    assert status == 0, said
    (iteration,) = tracker.iterations("Bereft")
    assert iteration.improved
    assert [each.run_id for each in tracker.runs(iteration)] == [run.run_id]
