"""The stores of a team: PostgreSQL and S3 behind an MLflow server."""

import json
import logging
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ports import free_port
from servers import MlflowServer, PostgreSQL, postgresql_programs
from tracked import METHOD, begin, do_run
from warm_python import run_python

from hooktune import Runner, hookimpl, load_champion
from hooktune.cli import main
from hooktune.testing import tiny_model
from hooktune.tracking import Tracker

pytestmark = pytest.mark.long

BUCKET = "models"
KEYS = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.fixture(scope="module")
def s3() -> Iterator[tuple[Any, str]]:
    """An S3 store in memory: a client of it, and its address."""
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: it is in the extra `dev`")
    moto = pytest.importorskip(
        "moto.server", reason="moto is not installed: it is in the extra `dev`"
    )
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # or it logs every request
    port = free_port()
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    address = f"http://127.0.0.1:{port}"
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=KEYS["AWS_DEFAULT_REGION"],
    )
    client.create_bucket(Bucket=BUCKET)
    try:
        yield client, address
    finally:
        client.close()
        server.stop()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: `apt-get install postgresql`")
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed: it is in the extra `dev`")
    database = PostgreSQL(programs)
    try:
        database.start()
        yield database
    finally:
        database.remove()


@pytest.fixture(params=["sqlite", "postgresql"])
def server(
    request: pytest.FixtureRequest, s3: tuple[Any, str], empty_store: Path, tmp_path: Path
) -> Iterator[MlflowServer]:
    """An MLflow server that keeps its artifacts in S3, over each kind of database."""
    if request.param == "postgresql":
        backend = request.getfixturevalue("postgresql").make_database("served")
    else:
        shutil.copy(empty_store, tmp_path / "server.db")
        backend = f"sqlite:///{tmp_path / 'server.db'}"
    started = MlflowServer(
        backend,
        f"s3://{BUCKET}/{request.param}",
        tmp_path / "server.log",
        {**KEYS, "MLFLOW_S3_ENDPOINT_URL": s3[1]},
    )
    started.start()
    try:
        started.wait()
        yield started
    finally:
        started.stop()


class Pusher:
    """Adds one constant to all embeddings, which moves all similarities up."""

    NAME = "Pusher"

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def fit_batch(self, run, model):
        for step in range(1, 6):
            run.log({"train_loss": 1 / step}, step)
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += 0.5
        return model


# Without hooktune, and without any key to the bucket.
STOCK = """
import sys
sys.modules["hooktune"] = None
import mlflow
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.sentence_transformers.load_model(sys.argv[2])
print(*model.encode("apple").tolist())
"""


def test_the_whole_journey(
    server: MlflowServer, s3: tuple[Any, str], make_batch, tmp_path: Path, capsys
):
    def stored(model_id: str) -> list[str]:
        """The bucket's files of a model."""
        listed = s3[0].list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [each["Key"] for each in listed if model_id in each["Key"]]

    def hooktune(*arguments: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(["--tracking-uri", server.uri, *map(str, arguments)])
        printed = capsys.readouterr()
        assert not end.value.code, printed.err
        return printed.out

    runner = Runner(server.uri, plugins=[Pusher()], spool=tmp_path / "spool")
    tracker = runner.tracker
    first = runner.run("Pusher", make_batch(0), max_runs=1, device="cpu").best
    assert len(tracker.client.get_metric_history(first.run_id, "train_loss")) == 5
    assert any(name.endswith("model.safetensors") for name in stored(first.model_id))
    expected = tracker.load_model(first, "cpu").encode("apple")
    loaded = run_python("-c", STOCK, server.uri, f"runs:/{first.run_id}/model")
    assert loaded.returncode == 0, loaded.stderr
    values = [float(each) for each in loaded.stdout.splitlines()[-1].split()]
    np.testing.assert_allclose(values, expected, atol=1e-6)

    second = runner.run("Pusher", make_batch(1), max_runs=1, device="cpu")
    assert second.iteration.starting_run == first.run_id
    assert second.iteration.improved
    assert stored(first.model_id) == []
    assert not tracker.has_model(first)
    assert tracker.run(first.run_id).metrics == first.metrics
    kept = stored(second.best.model_id)
    assert kept

    (best,) = json.loads(hooktune("best", "Pusher", "--json"))
    assert best["run_id"] == second.best.run_id
    runner.promote("Pusher", force=True)
    third = runner.run("Pusher", make_batch(2), max_runs=1, device="cpu")
    assert third.iteration.improved
    assert stored(second.best.model_id) == kept, "a champion is never deleted"
    log = tracker.metric_log(third.best)
    log.add({"odd": math.nan, "huge": math.inf}, 1)
    log.close()
    assert log.error is None
    assert math.isnan(tracker.client.get_metric_history(third.best.run_id, "odd")[0].value)
    assert tracker.client.get_metric_history(third.best.run_id, "huge")[0].value > 1e308
    champion = load_champion("Pusher", server.uri, device="cpu").encode("apple")
    hooktune("export", second.best.run_id, tmp_path / "exported")
    from sentence_transformers import SentenceTransformer

    exported = SentenceTransformer(str(tmp_path / "exported"), device="cpu").encode("apple")
    np.testing.assert_array_equal(champion, exported)
    assert not (tmp_path / "spool").exists()


def test_a_database_is_used_directly_and_may_be_restarted(
    postgresql: PostgreSQL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)  # MLflow keeps the artifacts of such a store in mlruns/ here
    tracker = Tracker(postgresql.make_database("direct"))
    iteration = begin(tracker)
    run = tracker.start_run(iteration, "restarted", "restarted", {}, {}, {})
    log = tracker.metric_log(run)
    log.add({"train_loss": 2.0}, 1)
    log.flush()
    postgresql.stop()
    log.add({"train_loss": 1.0}, 2)
    postgresql.start()
    log.close()
    tracker.end_run(run, "FINISHED")

    assert log.error is None
    points = tracker.client.get_metric_history(run.run_id, "train_loss")
    assert [(each.step, each.value) for each in points] == [(1, 2.0), (2, 1.0)]
    best = do_run(tracker, iteration, 0.5)
    assert tracker.finish_iteration(iteration).best_run == best.run_id
    assert tracker.load_model(tracker.starting_model(METHOD), "cpu").encode("apple").shape == (32,)
