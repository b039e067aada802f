"""Where the tracking store is, and opening it without hanging on one that is not there."""

import hashlib
import logging
import os
import re
import socket
import sqlite3
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Final

from hooktune.errors import StoreError
from hooktune.processes import FileLock
from hooktune.progress import phase
from hooktune.tracking.logins import use_login
from hooktune.tracking.store_address import StoreAddress, is_no_store, read_store_address

if TYPE_CHECKING:
    from mlflow import MlflowClient

logger = logging.getLogger(__name__)

DEFAULT_TRACKING_URI: Final = "sqlite:///mlflow.db"
ARTIFACT_FOLDER: Final = "mlruns"

_SQLITE: Final = "sqlite:///"
_CONNECT_WITHIN: Final = 5.0  # seconds
_ANSWER_WITHIN: Final = 10.0  # seconds, the look-up of the host's name included
_SERVER_FAILED: Final = 500
_NOT_LET_IN: Final = (401, 403)


def resolve_tracking_uri(uri: str | None = None) -> str:
    """Return the tracking store to use: the one given, that of the environment, or the default.

    The environment's is `HOOKTUNE_TRACKING_URI`, else `MLFLOW_TRACKING_URI`; the default is
    `sqlite:///mlflow.db` in the working folder. A relative database file becomes absolute.

    Raises:
        StoreError: It is a database in memory, which would end with the process.
    """
    chosen = (
        uri
        or os.environ.get("HOOKTUNE_TRACKING_URI")
        or os.environ.get("MLFLOW_TRACKING_URI")
        or DEFAULT_TRACKING_URI
    )
    if chosen.startswith("sqlite:"):
        return _resolve_file(chosen)
    return chosen


def database_file(uri: str) -> Path | None:
    """Return the file of a local store, or None for a store that is no file of this machine."""
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]) if uri.startswith(_SQLITE) else None


def artifact_root(uri: str) -> Path | None:
    """Return the folder where a local store keeps its artifacts; None for any other store."""
    database = database_file(uri)
    return None if database is None else database.parent / ARTIFACT_FOLDER


def artifact_location(uri: str, experiment_name: str) -> str | None:
    """Return where an experiment of a local store keeps its artifacts: beside the database file.

    A server chooses for itself; then the answer is None.
    """
    root = artifact_root(uri)
    if root is None:
        return None
    words = re.sub(r"[^a-z0-9]+", "-", experiment_name.casefold())
    digest = hashlib.sha256(experiment_name.encode()).hexdigest()[:8]
    return (root / f"{words[:80]}-{digest}").as_uri()


def open_client(address: StoreAddress) -> "MlflowClient":
    """Open a tracking store; a local one that does not exist yet is created.

    The client's own address of a server holds no secret.

    Raises:
        StoreError: The store does not answer within seconds, or its file cannot be used.
    """
    database = database_file(address.used)
    what = "opening" if database is None or database.exists() else "creating"
    with phase(f"{what} the tracking store {address}"):
        return _open_client(address, database)


def _open_client(address: StoreAddress, database: Path | None) -> "MlflowClient":
    if database is None:
        _check_that_it_answers(address)
    else:
        _check_folder(database)

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    from hooktune.tracking.patient_client import PatientClient

    try:
        with _opened_alone(database):
            if database is not None:
                _check_artifact_root(database)
            if database is not None and database.exists():
                _check_that_it_is_mlflows(database)
            if address.database is not None:
                _check_that_it_lets_in(address)
            use_login(address)
            client = PatientClient(tracking_uri=address.used, registry_uri=address.used)
            if address.page is not None:
                # Nobody is to hear in the middle of the work that they are not let in.
                MlflowClient.search_experiments(client, max_results=1)
            return client
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        status = None
        if isinstance(error, MlflowException):
            status = error.get_http_status_code()  # type: ignore[no-untyped-call]
        if status in _NOT_LET_IN:
            raise StoreError(
                f"The tracking store {address} does not let you in: {first_line}. Give a user's "
                "name and password in its address, or by MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD."
            ) from error
        raise StoreError(
            f"The tracking store {address} cannot be opened: {first_line}. "
            "Check --tracking-uri, or HOOKTUNE_TRACKING_URI and MLFLOW_TRACKING_URI."
        ) from error


def is_yet_to_be_made(uri: str) -> bool:
    """Tell whether this is a local store that does not exist yet, and so holds nothing.

    Raises:
        StoreError: It can't be made, as its folder is not there.
    """
    database = database_file(uri)
    if database is None or database.exists():
        return False
    _check_folder(database)
    return True


def answers(uri: str) -> bool:
    """Tell within seconds whether a tracking store can be reached; a local one always can."""
    try:
        if database_file(uri) is None:
            _check_that_it_answers(read_store_address(uri))
    except StoreError:
        return False
    return True


def _resolve_file(uri: str) -> str:
    path, mark, query = uri.removeprefix(_SQLITE).partition("?")
    if not uri.startswith(_SQLITE) or path in ("", ":memory:"):
        raise StoreError(
            f"{uri!r} names no file: a store in memory would end with this process. "
            "Give sqlite:///FILE."
        )
    return f"{_SQLITE}{Path(path).absolute()}{mark}{query}"


@contextmanager
def _opened_alone(database: Path | None) -> Iterator[None]:
    """Keep two processes of this machine from creating the tables of one store at the same time.

    The lock is on a folder that is there anyway, that of a local store or else of this very file,
    so that nothing is left behind.
    """
    lock = FileLock(database.parent if database else Path(__file__).parent)
    try:
        lock.acquire(wait=True)
    except OSError as error:
        logger.debug("a network folder cannot be locked: %s", error)
    try:
        yield
    finally:
        lock.release()


def _check_folder(database: Path) -> None:
    if not database.parent.is_dir():
        raise StoreError(
            f"The tracking store {database} cannot be opened: there is no folder "
            f"{database.parent}. Make it, or name another store by --tracking-uri."
        )


def _check_artifact_root(database: Path) -> None:
    """Refuse what could not be a store any more, before MLflow begins a new one in its place."""
    artifacts = database.parent / ARTIFACT_FOLDER
    if artifacts.exists() and not artifacts.is_dir():
        raise StoreError(
            f"{artifacts} is no folder, and the models of the store {database} go there. "
            "Move it away, or name another store by --tracking-uri."
        )
    was_cut = database.exists() and database.stat().st_size == 0
    if was_cut and artifacts.exists() and any(artifacts.iterdir()):
        raise StoreError(
            f"The tracking store {database} is an empty file, though {artifacts} holds models of "
            "it. Restore it from a backup, or move both away to begin anew."
        )


def _check_that_it_is_mlflows(database: Path) -> None:
    """Refuse a file that is something else, before MLflow writes its tables into it."""
    # Not read-only: where a process died while it wrote, SQLite has to take that back first.
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=rw", uri=True)) as connection:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {name for (name,) in rows}
    if tables and not tables & {"experiments", "alembic_version"}:
        raise StoreError(
            f"{database} is a database of something else than MLflow. "
            "Name another file by --tracking-uri."
        )


def _check_that_it_lets_in(address: StoreAddress) -> None:
    """Connect once to a database that answers, which MLflow would try for minutes if it is refused.

    Raises:
        SQLAlchemyError: The name, the user or the password is wrong.
    """
    from sqlalchemy import create_engine

    engine = create_engine(address.used)
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _check_that_it_answers(address: StoreAddress) -> None:
    """Find out in seconds what MLflow's own retries would take minutes to tell."""
    problems: list[Exception] = []

    def ask() -> None:
        try:
            _ask(address)
        except Exception as error:
            problems.append(error)

    # In a thread, because the look-up of a host's name takes no time limit.
    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_ANSWER_WITHIN)
    if asking.is_alive():
        problems.append(TimeoutError("it does not answer"))
    for problem in problems:
        if isinstance(problem, StoreError):
            raise problem
        raise StoreError(
            f"The tracking store {address} cannot be reached: {problem}. "
            "Start its server, or name another store by --tracking-uri."
        ) from problem


def _ask(address: StoreAddress) -> None:
    if address.page is not None:
        try:
            urllib.request.urlopen(
                f"{address.page.rstrip('/')}/health", timeout=_CONNECT_WITHIN
            ).close()
        except urllib.error.HTTPError as answer:
            with answer:
                if answer.code >= _SERVER_FAILED:
                    raise
        except urllib.error.URLError as error:
            # Somebody is there; which certificates to trust is set for MLflow, and not known here.
            if not isinstance(error.reason, ssl.SSLError):
                raise
    elif address.database is not None:
        socket.create_connection(address.database, timeout=_CONNECT_WITHIN).close()
    else:
        raise is_no_store(address.used)
