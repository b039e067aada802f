"""One bad answer, a refusal that passes, a reply that is lost, and a local store that is locked."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from fault_proxy import FAULTS, FaultProxy, Rule, falsified
from mlflow import MlflowClient
from servers import MlflowServer
from sqlalchemy import event
from sqlalchemy.engine import Engine, RootTransaction
from tracked import begin, start_run

from hooktune.errors import HooktuneError, StoreAwayError
from hooktune.testing import tiny_model
from hooktune.tracking import Tracker, artifacts, failures, patient_client
from hooktune.tracking.file_transfer import repository_at
from hooktune.tracking.models.deletion import delete_model
from hooktune.tracking.models.uploading import upload_model

HOLDS_THE_LOCK = """
import sqlite3, sys, time
store = sqlite3.connect(sys.argv[1])
store.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextmanager
def locked(file: Path, seconds: float) -> Iterator[None]:
    """Let another process have a store for itself for some seconds."""
    command = [sys.executable, "-c", HOLDS_THE_LOCK, str(file), str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "locked\n"
        try:
            yield
        finally:
            holder.terminate()


@pytest.fixture
def impatient_sqlite() -> Iterator[None]:
    """SQLite gives up after a tenth of a second, and not after MLflow's twenty."""

    def shorten(connection, cursor, statement, parameters, context, many):
        return statement.replace("busy_timeout = 20000", "busy_timeout = 100"), parameters

    event.listen(Engine, "before_cursor_execute", shorten, retval=True)
    yield
    event.remove(Engine, "before_cursor_execute", shorten)


def test_a_locked_store_is_waited_for_and_all_is_stored_once(
    store_uri: str, tmp_path: Path, impatient_sqlite: None
):
    """As by a copy of the store that is made while a run ends."""
    tracker = Tracker(store_uri)
    iteration = begin(tracker)
    run = start_run(tracker, iteration, 0.1)
    with locked(tmp_path / "mlflow.db", 3):
        log = tracker.metric_log(run)
        log.add({"train_loss": 0.5}, 1)
        log.flush()
        log.close()
        assert tracker.keep_if_best(run, tiny_model(0), 1)
        assert tracker.end_run(run, "FINISHED").status == "FINISHED"
    assert log.error is None
    assert tracker.metric_history(run, "train_loss") == [(1, 0.5)]
    assert tracker.has_model(tracker.run(run.run_id))


def test_a_store_that_stays_locked_is_an_error_that_says_so(
    store_uri: str, tmp_path: Path, impatient_sqlite: None, monkeypatch
):
    tracker = Tracker(store_uri)
    iteration = begin(tracker)
    monkeypatch.setattr(patient_client, "LOCK_PATIENCE", 0.5)
    with locked(tmp_path / "mlflow.db", 60), pytest.raises(StoreAwayError, match="was locked for"):
        tracker.client.set_experiment_tag(iteration.experiment_id, "a", "b")


def test_ctrl_c_stays_ctrl_c_though_it_comes_while_a_transaction_ends(
    store_uri: str, monkeypatch: pytest.MonkeyPatch
):
    """SQLAlchemy raises an error of its own then, and MLflow another one."""
    tracker = Tracker(store_uri)
    run = start_run(tracker, begin(tracker), 0.1)

    def interrupt(transaction: RootTransaction) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(RootTransaction, "_do_commit", interrupt)
    with pytest.raises(KeyboardInterrupt):
        tracker.tag(run, {"a": "b"})
    assert tracker.end_run(run, "KILLED").status == "KILLED"


@pytest.mark.parametrize("create", ["create_experiment", "create_registered_model"])
def test_an_interrupted_transaction_locks_nobody_out(
    store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, create: str
):
    """Not even the same process, which is to say what has become of it."""
    client = Tracker(store_uri).client
    really = RootTransaction._connection_commit_impl

    def interrupt(transaction: RootTransaction) -> None:
        if is_writing():
            monkeypatch.undo()
            raise KeyboardInterrupt
        really(transaction)

    def is_writing() -> bool:
        with closing(sqlite3.connect(tmp_path / "mlflow.db", timeout=0)) as other:
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False

    monkeypatch.setattr(RootTransaction, "_connection_commit_impl", interrupt)
    try:
        getattr(client, create)("new")
    except KeyboardInterrupt:
        # While it is handled, its traceback holds all that was at work.
        assert not is_writing()
    else:
        pytest.fail("it was not interrupted")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    folder = tmp_path_factory.mktemp("server")
    server = MlflowServer(
        f"sqlite:///{folder / 'server.db'}", str(folder / "artifacts"), folder / "server.log"
    )
    with server, FaultProxy(server.uri) as standing:
        yield standing


@pytest.fixture
def tracker(proxy: FaultProxy, monkeypatch) -> Tracker:
    proxy.rules = []
    monkeypatch.setattr(failures, "_PAUSES", (0.01, 0.01))
    return Tracker(proxy.uri)


def made(tracker: Tracker, name: str):
    from hooktune.contract.settings import IterationSettings
    from hooktune.naming import IterationName

    return tracker.create_iteration(IterationName(name, "0" * 24), IterationSettings(), "start")


LOST = ("reply lost", "doubled", "reply cut", "done, page with status 200", "done, 502", "401")


@pytest.mark.parametrize("fault", LOST)
def test_a_run_is_created_once_whatever_becomes_of_the_answer(
    fault: str, proxy: FaultProxy, tracker: Tracker
):
    iteration = made(tracker, f"Creating, {fault}")
    proxy.rules = [Rule("POST runs/create", FAULTS[fault])]
    run = start_run(tracker, iteration, 0.1)
    assert proxy.rules[0].happened == 1
    assert [found.run_id for found in tracker.runs(iteration)] == [run.run_id]


@pytest.mark.parametrize("kind", ["POST logged-models", "POST runs/outputs"])
@pytest.mark.parametrize("fault", LOST)
def test_an_upload_leaves_one_model_whatever_becomes_of_an_answer(
    fault: str, kind: str, proxy: FaultProxy, tracker: Tracker
):
    iteration = made(tracker, f"Uploading, {fault}, {kind.replace('/', ' ')}")
    run = start_run(tracker, iteration, 0.1)
    proxy.rules = [Rule(kind, FAULTS[fault])]
    model_id = upload_model(tracker.client, run, tiny_model(0))
    assert proxy.rules[0].happened == 1
    found = MlflowClient(tracker.tracking_uri).search_logged_models([iteration.experiment_id])
    assert [(model.model_id, model.status) for model in found] == [(model_id, "READY")]
    outputs = tracker.client.get_run(run.run_id).outputs.model_outputs
    assert [output.model_id for output in outputs] == [model_id]


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        ("page with status 200", StoreAwayError, "is not MLflow"),
        ("401", HooktuneError, "refuses this user the right READ"),
        ("403", HooktuneError, "refuses this user the right READ"),
    ],
)
def test_a_gateway_that_stays_in_the_way_is_an_error_in_words(
    fault: str, error: type[HooktuneError], words: str, proxy: FaultProxy, tracker: Tracker
):
    iteration = made(tracker, f"Refused by {fault}")
    proxy.rules = [Rule("GET experiments/get", FAULTS[fault], times=9)]
    with pytest.raises(error, match=words):
        tracker.client.get_experiment(iteration.experiment_id)


PAGES = ("page with status 200", "done, page with status 200", "reply cut", "401")


@pytest.mark.parametrize("fault", PAGES)
def test_a_file_arrives_and_comes_back_whatever_a_gateway_says(
    fault: str, proxy: FaultProxy, tracker: Tracker
):
    """A page with status 200 passes for the storing of a file, and for the file."""
    run = start_run(tracker, made(tracker, f"File, {fault}"), 0.1)
    proxy.rules = [Rule(f"{verb} artifacts a.json", FAULTS[fault]) for verb in ("PUT", "GET")]
    artifacts.write_artifact(tracker.client, run.run_id, b'{"a": 1}', "folder/a.json")
    assert artifacts.read_artifact(tracker.client, run.run_id, "folder/a.json") == b'{"a": 1}'
    assert [rule.happened for rule in proxy.rules] == [1, 1]


MODEL_FILES = (
    "MLmodel", "README.md", "checksums.txt", "conda.yaml", "config.json",
    "config_sentence_transformers.json", "model.safetensors", "modules.json", "python_env.yaml",
    "requirements.txt", "sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json",
)  # fmt: skip


@pytest.mark.parametrize("fault", [*PAGES, "falsified"])
def test_a_model_arrives_and_comes_back_though_each_of_its_files_is_harmed(
    fault: str, proxy: FaultProxy, tracker: Tracker
):
    harm = {**FAULTS, "falsified": falsified}[fault]
    run = start_run(tracker, made(tracker, f"Model, {fault}"), 0.1)
    stored = [Rule(f"PUT artifacts of a model, {file}", FAULTS[PAGES[0]]) for file in MODEL_FILES]
    fetched = [Rule(f"GET artifacts of a model, {file}", harm) for file in MODEL_FILES]
    # A refusal ends an upload or a download, which is begun anew and meets the next one.
    times = 2 if fault == "401" else len(MODEL_FILES)
    proxy.rules = [*stored, *fetched[:times]]
    model_id = upload_model(tracker.client, run, tiny_model(0))
    assert [rule.happened for rule in proxy.rules] == [1] * len(proxy.rules)
    proxy.rules = fetched[:times]
    tracker.load_model(tracker.run(run.run_id), "cpu")
    proxy.rules = [Rule("DELETE artifacts of a model, ", FAULTS["page with status 200"])]
    place = tracker.client.get_logged_model(model_id).artifact_location
    assert delete_model(tracker.client, model_id)
    assert proxy.rules[0].happened == 1
    assert repository_at(tracker.tracking_uri, place).list_artifacts() == []


def test_an_initial_model_that_never_arrived_is_an_error_in_words_and_then_taken_over(
    proxy: FaultProxy, tracker: Tracker
):
    swallowed = FAULTS["page with status 200"]
    proxy.rules = [Rule("PUT artifacts of a model, MLmodel", swallowed, times=9)]
    with pytest.raises(StoreAwayError, match="did not arrive whole in the store: MLmodel"):
        tracker.upload_initial_model("Swallowed", tiny_model(0), {})
    proxy.rules = []
    run = tracker.upload_initial_model("Swallowed", tiny_model(0), {"a": "new tag"})
    assert (run.status, run.tags["a"]) == ("FINISHED", "new tag")
    client = MlflowClient(tracker.tracking_uri)
    found = client.search_runs([run.experiment_id], "tags.`hooktune.method` = 'Swallowed'")
    assert [each.info.run_id for each in found] == [run.run_id]
    models = client.search_logged_models([run.experiment_id])
    assert [model.status for model in models if model.source_run_id == run.run_id] == ["READY"]


def test_a_locked_file_is_told_from_a_full_disk():
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert not failures.is_locked(full)
    assert not failures.is_away(full)
