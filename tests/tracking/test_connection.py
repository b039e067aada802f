"""Opening tracking stores, and those that cannot be opened."""

import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from warm_python import run_python

from hooktune.errors import StoreError
from hooktune.tracking import Tracker, resolve_tracking_uri
from hooktune.tracking.connection import artifact_location, database_file
from hooktune.tracking.store_address import without_password


def test_the_store_is_the_one_given_or_that_of_the_environment_or_the_default(
    monkeypatch, tmp_path: Path
):
    monkeypatch.chdir(tmp_path)
    assert resolve_tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert resolve_tracking_uri() == "http://mlflow:5000"
    monkeypatch.setenv("HOOKTUNE_TRACKING_URI", "sqlite:///other.db")
    assert resolve_tracking_uri() == f"sqlite:///{tmp_path}/other.db"
    assert resolve_tracking_uri("sqlite:///given.db") == f"sqlite:///{tmp_path}/given.db"


def test_an_absolute_file_has_four_slashes(tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert uri.startswith("sqlite:////")
    assert resolve_tracking_uri(uri) == uri
    assert database_file(uri) == database_file(f"{uri}?timeout=5") == tmp_path / "mlflow.db"


@pytest.mark.parametrize("uri", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:"])
def test_a_store_in_memory_is_refused(uri: str):
    with pytest.raises(StoreError, match="names no file"):
        Tracker(uri)


def test_artifacts_of_a_local_store_lie_beside_it_and_names_never_clash(tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    one, other = (artifact_location(uri, f"iteration / {name} / 1") for name in ("a-b", "a b"))
    assert one.startswith((tmp_path / "mlruns").as_uri())
    assert one != other
    assert artifact_location("http://mlflow:5000", "iteration / a / 1") is None


def test_asking_a_store_that_does_not_exist_yet_creates_nothing(tmp_path: Path):
    tracker = Tracker(f"sqlite:///{tmp_path}/mlflow.db")
    assert tracker.iterations() == []
    assert tracker.starting_model("Some Method") is None
    assert list(tmp_path.iterdir()) == []


def text_file(folder: Path) -> Path:
    path = folder / "notes.txt"
    path.write_text("this is no database " * 100, encoding="utf-8")
    return path


def foreign_database(folder: Path) -> Path:
    path = folder / "bookmarks.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmarks (address TEXT)")
    return path


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (text_file, "cannot be opened: file is not a database"),
        (foreign_database, "is a database of something else than MLflow"),
        (lambda folder: folder, "cannot be opened: "),
        (lambda folder: folder / "lacking" / "mlflow.db", "there is no folder"),
    ],
)
def test_a_path_that_is_no_store_is_refused_and_left_as_it_is(tmp_path: Path, make, problem: str):
    path = make(tmp_path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError, match=problem):
        Tracker(f"sqlite:///{path}").client  # noqa: B018
    assert (path.read_bytes() if path.is_file() else None) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot be opened"):
            Tracker(f"sqlite:///{tmp_path}/mlflow.db").client  # noqa: B018
    finally:
        tmp_path.chmod(0o700)


@pytest.fixture
def closed_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return listener.getsockname()[1]


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that takes connections and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def failing_port() -> Iterator[int]:
    """A gateway whose server is down."""

    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(502)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Gateway) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    ("scheme", "port", "problem"),
    [
        ("http", "closed_port", "Connection refused"),
        ("http", "silent_port", "timed out"),
        ("http", "failing_port", "502"),
        ("postgresql", "closed_port", "Connection refused"),
        ("mysql+pymysql", "closed_port", "Connection refused"),
    ],
)
def test_a_store_that_does_not_answer_is_told_soon(
    request: pytest.FixtureRequest, scheme: str, port: str, problem: str
):
    uri = f"{scheme}://ann:secret@127.0.0.1:{request.getfixturevalue(port)}/mlflow"
    began = time.monotonic()
    with pytest.raises(StoreError, match=f"cannot be reached.*{problem}") as caught:
        Tracker(uri).client  # noqa: B018
    assert time.monotonic() - began < 12
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "uri", ["mlflow.db", "./mlruns", "ftp://host/x", "http://[::", "http://h:x"]
)
def test_an_address_that_is_none_is_refused(uri: str):
    with pytest.raises(StoreError, match=r"is no tracking store|cannot be reached"):
        Tracker(uri).client  # noqa: B018


def test_a_password_is_not_shown():
    assert without_password("postgresql://ann:pw@db/x") == "postgresql://ann:***@db/x"
    assert without_password("sqlite:////tmp/mlflow.db") == "sqlite:////tmp/mlflow.db"


# Forks, since each interpreter would take seconds to import MLflow.
OPEN_FOUR_TIMES = """
import os, sys
import mlflow
from hooktune.tracking import Tracker

children = []
for _ in range(4):
    if child := os.fork():
        children.append(child)
    else:
        status = 1
        try:
            Tracker(sys.argv[1]).client.search_experiments()
            status = 0
        finally:
            os._exit(status)
assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
"""


def test_four_processes_may_open_a_new_store_at_once(tmp_path: Path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    done = run_python("-c", OPEN_FOUR_TIMES, uri)
    assert done.returncode == 0, done.stderr


DIE_WHILE_WRITING = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("PRAGMA cache_size = 1")  # so that pages go to disk before the commit
connection.execute("BEGIN")
for number in range(2000):
    connection.execute("INSERT INTO half_written VALUES (?, ?, 'x')", (f"{number}" * 9, "y" * 200))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_store_whose_writer_was_killed_is_taken_back_to_before(store_uri: str):
    database = database_file(store_uri)

    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE half_written (a, b, c)")
        connection.commit()
    subprocess.run([sys.executable, "-c", DIE_WHILE_WRITING, database], check=False)
    assert Path(f"{database}-journal").stat().st_size > 0
    assert Tracker(store_uri).iterations() == []
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT count(*) FROM half_written").fetchone() == (0,)
