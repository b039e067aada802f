"""Where the tracking store is, and opening it without hanging on one that is not there."""

import hashlib
import os
import socket
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from filelock import FileLock

from hooktune.errors import StoreError

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_TRACKING_URI: Final = "sqlite:///mlflow.db"
ARTIFACT_FOLDER: Final = "mlruns"

_SQLITE: Final = "sqlite:///"
_ANSWER_WITHIN: Final = 5.0  # seconds
_DATABASE_PORTS: Final = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}


def resolve_tracking_uri(uri: str | None = None) -> str:
    """Return the tracking store to use: the one given, that of the environment, or the default.

    The environment's is `HOOKTUNE_TRACKING_URI`, else `MLFLOW_TRACKING_URI`; the default is
    `sqlite:///mlflow.db` in the working folder. A relative database file becomes absolute.
    """
    chosen = (
        uri
        or os.environ.get("HOOKTUNE_TRACKING_URI")
        or os.environ.get("MLFLOW_TRACKING_URI")
        or DEFAULT_TRACKING_URI
    )
    if chosen.startswith(_SQLITE):
        return _SQLITE + str(Path(chosen.removeprefix(_SQLITE)).absolute())
    return chosen


def database_file(uri: str) -> Path | None:
    """Return the file of a local store, or None for a store that is no file of this machine."""
    return Path(uri.removeprefix(_SQLITE)) if uri.startswith(_SQLITE) else None


def artifact_location(uri: str, experiment_name: str) -> str | None:
    """Return where an experiment of a local store keeps its artifacts: beside the database file.

    A server chooses for itself; then the answer is None.
    """
    database = database_file(uri)
    if database is None:
        return None
    words = "".join(char if char.isalnum() else "-" for char in experiment_name.casefold())
    digest = hashlib.sha256(experiment_name.encode()).hexdigest()[:8]
    return (database.parent / ARTIFACT_FOLDER / f"{words[:80]}-{digest}").as_uri()


def open_client(uri: str) -> "MlflowClient":
    """Open a tracking store; a local one that does not exist yet is created.

    Raises:
        StoreError: The store does not answer within seconds, or its file cannot be used.
    """
    database = database_file(uri)
    if database is None:
        _check_that_it_answers(uri)
    elif not database.parent.is_dir():
        raise StoreError(
            f"The tracking store {uri} cannot be created: there is no folder {database.parent}."
        )

    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with _creation_lock(uri):
            return MlflowClient(tracking_uri=uri, registry_uri=uri)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise StoreError(
            f"The tracking store {uri} cannot be opened: {first_line}. "
            "Check --tracking-uri, or HOOKTUNE_TRACKING_URI and MLFLOW_TRACKING_URI."
        ) from error


def _creation_lock(uri: str) -> FileLock:
    """Return the lock that keeps two processes from creating one database at the same time."""
    digest = hashlib.sha256(uri.encode()).hexdigest()[:16]
    return FileLock(Path(tempfile.gettempdir(), f"hooktune-{digest}.lock"))


def _check_that_it_answers(uri: str) -> None:
    """Find out in seconds what MLflow's own retries would take minutes to tell."""
    parts = urlsplit(uri)
    try:
        if parts.scheme in ("http", "https"):
            urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=_ANSWER_WITHIN).close()
        elif (database := parts.scheme.split("+")[0]) in _DATABASE_PORTS and parts.hostname:
            address = (parts.hostname, parts.port or _DATABASE_PORTS[database])
            socket.create_connection(address, timeout=_ANSWER_WITHIN).close()
        else:
            raise StoreError(
                f"{uri!r} is no tracking store. Give sqlite:///FILE, http(s)://HOST:PORT of an "
                "MLflow server, or the address of a database such as postgresql://..."
            )
    except urllib.error.HTTPError:
        pass  # whatever it says, somebody is there
    except (OSError, ValueError) as error:
        raise StoreError(
            f"The tracking store {_without_password(uri)} cannot be reached: {error}. "
            "Start its server, or name another store by --tracking-uri."
        ) from error


def _without_password(uri: str) -> str:
    parts = urlsplit(uri)
    if parts.password is None:
        return uri
    return uri.replace(f":{parts.password}@", ":***@")
