"""Which failures mean that a store is away, and how it is waited for."""

import itertools
import sqlite3
import tempfile
from contextlib import closing

import pytest
import requests
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from hooktune.errors import StoreAwayError
from hooktune.tracking import outage
from hooktune.tracking.failures import is_away
from hooktune.tracking.outage import with_retries

NOBODY = "http://127.0.0.1:1"


def raised_by_mlflow(cause: Exception) -> Exception:
    """The error that MLflow makes of another one."""
    try:
        try:
            raise cause
        except Exception as error:
            raise MlflowException(f"API request failed: {error}")  # noqa: B904 - as MLflow does
    except MlflowException as made:
        return made


def answer(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


def locked() -> sqlite3.OperationalError:
    """What SQLite says of a file that another connection has for itself."""
    with (
        tempfile.NamedTemporaryFile() as file,
        closing(sqlite3.connect(file.name)) as other,
        closing(sqlite3.connect(file.name)) as own,
    ):
        other.execute("BEGIN EXCLUSIVE")
        own.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite3.OperationalError) as refused:
            own.execute("CREATE TABLE a (b)")
    return refused.value


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("refused"),
        requests.ReadTimeout("no answer"),
        requests.exceptions.RetryError("too many 503 error responses"),
        answer(503),
        requests.exceptions.ChunkedEncodingError("half an answer"),
        requests.JSONDecodeError("a page", "<html>", 0),
        OperationalError("select", {}, Exception("server closed the connection")),
        OperationalError("insert", {}, locked()),
    ],
    ids=repr,
)
def test_what_means_that_a_store_is_away(error: Exception):
    assert is_away(error)
    assert is_away(raised_by_mlflow(error))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong"),
        OSError("no space left on device"),
        MlflowException("no such run", error_code=16),
        answer(404),
        OperationalError("insert", {}, sqlite3.OperationalError("disk is full")),
    ],
    ids=repr,
)
def test_what_will_not_pass_by_itself(error: Exception):
    assert not is_away(error)
    assert not is_away(raised_by_mlflow(error))


def test_a_call_is_made_again_until_the_store_is_back(monkeypatch: pytest.MonkeyPatch, caplog):
    monkeypatch.setattr(outage, "pauses", lambda: itertools.repeat(0.01))
    monkeypatch.setattr(outage, "answers", lambda uri: next(there))
    there = iter([False, True, True])
    calls = iter([requests.ConnectionError("reset"), None])

    def call() -> str:
        if error := next(calls):
            raise error
        return "done"

    assert with_retries("http://user:secret@store", call) == "done"
    assert "http://user:***@store does not answer; waiting for it, 120 seconds" in caplog.text


def test_patience_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(outage, "pauses", lambda: itertools.repeat(0.01))
    with pytest.raises(StoreAwayError, match=f"The tracking store {NOBODY} is away"):
        with_retries(NOBODY, lambda: None, patience=0.05)


def test_other_failures_are_raised_at_once():
    with pytest.raises(ZeroDivisionError):
        with_retries("sqlite:////some/file.db", lambda: 1 / 0)


def test_pauses_grow_to_a_bound():
    assert list(itertools.islice(outage.pauses(), 6)) == [1, 2, 4, 8, 10, 10]
