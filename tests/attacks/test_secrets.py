"""The store's secrets, over real commands and what may go wrong in them.

Nothing that is left may hold them: neither what is printed, nor files, nor what the store has.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from urllib.parse import quote, quote_plus

import pytest
import torch
from guarding_proxy import GuardingProxy, basic_header
from ports import free_port
from servers import MlflowServer, PostgreSQL, postgresql_programs

from hooktune import Runner, StoreAwayError, hookimpl
from hooktune.cli import main
from hooktune.testing import tiny_model
from hooktune.tracking import Tracker, outage
from hooktune.tracking.connection import answers

USER, PASSWORD = "ann", "P#s/w?r]d@47%11'x"
HEADER = basic_header(USER, PASSWORD)
FORMS = {
    PASSWORD,
    quote(PASSWORD),
    quote(PASSWORD, safe=""),
    quote_plus(PASSWORD),
    repr(PASSWORD)[1:-1],
    HEADER.removeprefix("Basic "),
    b64encode(PASSWORD.encode()).decode(),
    "w?r]d@47",
    "w%3Fr%5Dd%4047",
}
METHOD = """
import os
import torch
from hooktune import hookimpl
from hooktune.testing import tiny_model

NAME = "Told"


@hookimpl
def upload_initial_model(settings):
    return tiny_model(settings.seed)


@hookimpl
def fit_batch(run, model, batch):
    for step in range(1, 4):
        run.log({"train_loss": 1 / step}, step)
    with torch.no_grad():
        model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += 0.5
    return model
"""
TELLS_ALL = METHOD.replace("Told", "Tells All").replace(
    "    return model\n",
    '    raise ValueError("cannot reach " + os.environ["HOOKTUNE_TRACKING_URI"])\n',
)


class Leaves:
    """A method during which something may happen to the server."""

    NAME = "Leaves"

    def __init__(self) -> None:
        self.beside: Callable[[], None] = lambda: None

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def fit_batch(self, run, model, batch):
        run.log({"train_loss": 1.0}, 1)
        self.beside()
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += 0.5
        return model


def found_in(content: bytes) -> list[str]:
    """The forms of the secret that some content holds."""
    return [form for form in FORMS if form.encode() in content]


def leaks_in(folder: Path) -> dict[str, list[str]]:
    """The files below a folder that hold the secret, in their names too."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    leaks = {str(path): found_in(str(path).encode() + path.read_bytes()) for path in files}
    return {path: forms for path, forms in leaks.items() if forms}


class ProcessWatch(Thread):
    """Looks for the secret in the arguments of all processes, until it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.over = Event()
        self.leaks: list[bytes] = []

    def run(self) -> None:
        while not self.over.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    arguments = path.read_bytes()
                except OSError:
                    continue
                if found_in(arguments):
                    self.leaks.append(arguments)


@pytest.fixture
def process_watch() -> Iterator[ProcessWatch]:
    watch = ProcessWatch()
    watch.start()
    yield watch
    watch.over.set()
    watch.join()
    assert watch.leaks == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, folder / "server.db")
    with MlflowServer(
        f"sqlite:///{folder / 'server.db'}", str(folder / "artifacts"), folder / "server.log"
    ) as started:
        yield started
    assert leaks_in(folder) == {}


@pytest.fixture
def proxy(server: MlflowServer) -> Iterator[GuardingProxy]:
    with GuardingProxy(server.uri, HEADER) as started:
        yield started


@pytest.fixture
def work(tmp_path: Path, make_batch, monkeypatch) -> Iterator[Path]:
    """A working folder with a batch and two methods, in which nothing is left of the secret."""
    make_batch()
    (tmp_path / "told.py").write_text(METHOD, encoding="utf-8")
    (tmp_path / "tells_all.py").write_text(TELLS_ALL, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    assert leaks_in(tmp_path) == {}


def store_uri_of(port: int, password: str = PASSWORD) -> str:
    return f"http://{USER}:{quote(password, safe='')}@127.0.0.1:{port}"


@pytest.fixture
def hooktune(monkeypatch, capfd):
    """Runs a command in this process; returns its status and what it printed."""

    def run(uri: str, *arguments: object) -> tuple[int, str]:
        monkeypatch.setenv("HOOKTUNE_TRACKING_URI", uri)
        with pytest.raises(SystemExit) as end:
            main([*map(str, arguments)])
        printed = capfd.readouterr()
        said = printed.out + printed.err
        assert found_in(said.encode()) == []
        return int(end.value.code or 0), said

    return run


def test_commands_leave_no_secret_though_an_upload_is_refused(
    work: Path, server: MlflowServer, proxy: GuardingProxy, hooktune, process_watch
):
    uri = store_uri_of(proxy.port)
    run = ("run", work / "told.py", work / "batch-0", "--max-runs", 1, "--device", "cpu")
    models = set()

    def refuses(method: str, path: str) -> bool:
        """Refuse the files of all models but the first, the initial one."""
        if method == "PUT" and "/models/" in path:
            models.add(path.partition("/models/")[2].partition("/")[0])
            return len(models) > 1
        return False

    proxy.refuses = refuses
    status, said = hooktune(uri, "-v", *run)
    assert status == 1, said
    assert "403" in said
    assert "Traceback" in said
    tracker = Tracker(server.uri)
    (failed,) = tracker.runs(tracker.iterations("Told")[0])
    assert failed.status == "FAILED"
    assert "403" in failed.failure
    client = tracker.client
    assert "403" in client.get_run(failed.run_id).data.tags["mlflow.note.content"]
    texts = [
        Path(client.download_artifacts(failed.run_id, entry.path, str(work))).read_text("utf-8")
        for entry in client.list_artifacts(failed.run_id)
        if not entry.is_dir
    ]
    assert any("Traceback" in text and "403" in text for text in texts)
    stored = repr(client.get_run(failed.run_id).to_dictionary()) + "".join(texts)
    assert found_in(stored.encode()) == []

    proxy.refuses = lambda method, path: False
    assert hooktune(uri, *run)[0] == 0
    status, said = hooktune(uri, "run", work / "tells_all.py", work / "batch-0", "--device", "cpu")
    assert status == 1
    assert f"http://{USER}:***@127.0.0.1:{proxy.port}" in said
    told, tells_all = (str(tracker.iterations(name)[0].name) for name in ("Told", "Tells All"))
    for command in (
        ["runs", told, "--json"], ["runs", tells_all, "--json"], ["runs", tells_all],
        ["iterations"], ["best", "Told"], ["-v", "promote", "Told", "--force"], ["-v", "sync"],
        [], ["ui"],
    ):  # fmt: skip
        status, said = hooktune(uri, *command)
        assert status == 0, (command, said)
    assert f"http://127.0.0.1:{proxy.port}" in said


def test_refused_and_unreachable_stores_are_named_without_a_secret(
    work: Path, proxy: GuardingProxy, hooktune
):
    run = ("run", work / "told.py", work / "batch-0", "--max-runs", 1)
    wrong = GuardingProxy(proxy.server, basic_header(USER, "another"))
    with wrong:
        for command in (["iterations"], ["-v", "best"], ["-v", *run], ["sync"], []):
            status, said = hooktune(store_uri_of(wrong.port), *command)
            assert (status, "does not let you in: " in said) == (2, True)
            assert "401" in said
    closed = store_uri_of(wrong.port)
    for command in (["iterations"], ["-v", "best"], ["-v", *run], ["-v", "promote", "Told"], []):
        status, said = hooktune(closed, *command)
        assert status == 2
        assert f"http://{USER}:***@127.0.0.1" in said


def test_a_program_shows_no_secret_and_leaves_none_when_the_server_goes_away(
    work: Path, server: MlflowServer, proxy: GuardingProxy, monkeypatch, capfd, caplog, make_batch
):
    monkeypatch.delenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", raising=False)
    monkeypatch.setattr(outage, "PATIENCE", 1.0)
    method = Leaves()
    runner = Runner(store_uri_of(proxy.port), plugins=[method], spool=work / "spool")
    result = runner.run("Leaves", work / "batch-0", max_runs=1)
    assert result.load_model("cpu").encode("apple").shape == (32,)
    shown = repr([runner, result, result.tracking_uri, vars(result)]) + result._repr_html_()

    method.beside = proxy.stop
    with pytest.raises(StoreAwayError) as caught:
        runner.run("Leaves", make_batch(1), max_runs=1)
    assert list((work / "spool").glob("*/run.json"))
    printed = capfd.readouterr()
    assert "View run" in printed.out
    assert f"http://{USER}@127.0.0.1:{proxy.port}" in printed.out
    shown += "".join(traceback.format_exception(caught.value)) + caplog.text
    assert found_in((shown + printed.out + printed.err).encode()) == []


@pytest.mark.long
@pytest.mark.skipif(postgresql_programs() is None, reason="PostgreSQL is not installed")
def test_a_database_keeps_its_password_to_itself(work: Path, hooktune, process_watch, monkeypatch):
    database = PostgreSQL(postgresql_programs())
    try:
        database.start()
        address = database.make_database("mlflow")
        uri = address.replace("hooktune@", f"hooktune:{quote(PASSWORD, safe='')}@")
        run = ("run", work / "told.py", work / "batch-0", "--max-runs", 1, "--device", "cpu")
        assert hooktune(uri, "-v", *run)[0] == 0
        tells_all = ("run", work / "tells_all.py", *run[2:])
        assert hooktune(uri, *tells_all)[0] == 1
        assert hooktune(uri, "best")[0] == 0
        status, said = hooktune(uri.replace("/mlflow", "/lacking"), "-v", "iterations")
        assert status == 2
        assert 'database "lacking" does not exist' in said
        assert leaks_of_ui(uri) == []
        database.stop()
        assert hooktune(uri, "-v", "iterations")[0] == 2
    finally:
        database.remove()


def leaks_of_ui(uri: str) -> list[str]:
    """What MLflow's pages print and serve of the secret, while they are shown."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "hooktune", "-v", "ui", "--port", str(port)],
        env={**os.environ, "HOOKTUNE_TRACKING_URI": uri},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        pages = Tracker(f"http://127.0.0.1:{port}")
        deadline = time.monotonic() + 120
        while not answers(pages.tracking_uri):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        (iteration,) = pages.iterations("Tells All")
        (run,) = pages.runs(iteration)
        assert "hooktune:***@" in run.failure
        served = repr(pages.client.get_run(run.run_id).to_dictionary())
    finally:
        process.send_signal(signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
    return found_in(printed + served.encode())
