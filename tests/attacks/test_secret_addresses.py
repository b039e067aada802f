"""Addresses of stores that hold a secret: it is sent, and never shown."""

import logging
import pickle
from dataclasses import dataclass
from urllib.parse import quote

import pytest
from guarding_proxy import GuardingProxy, basic_header
from sqlalchemy.engine import make_url

from hooktune import Runner
from hooktune.cli import main
from hooktune.errors import StoreError
from hooktune.tracking import Tracker
from hooktune.tracking.file_transfer import repository_at
from hooktune.tracking.store_address import read_store_address, without_password

ODD = "#/?]@:%[&+=' \\\"é"
SECRET = "Xy{}z-4711"


@dataclass(frozen=True)
class Given:
    """What stands between `//` and `@`, and what it means."""

    written: str
    user: str
    password: str

    def __str__(self) -> str:
        return self.written


LOGINS = [
    *(Given(f"ann:{SECRET.format(odd)}", "ann", SECRET.format(odd)) for odd in ODD),
    *(Given(f"ann:{quote(SECRET.format(odd), safe='')}", "ann", SECRET.format(odd)) for odd in ODD),
    Given(f"ann%40team:{SECRET.format('')}", "ann@team", SECRET.format("")),
    Given("an%3An:a", "an:n", "a"),
]
TOKENS = [
    Given("Tok-4711-abc", "Tok-4711-abc", ""),
    Given("Tok-4711-abc:", "Tok-4711-abc", ""),
    Given("Tok%2F4711%3D%3D", "Tok/4711==", ""),
]
AMBIGUOUS = [
    "http://Tok/4711-abc@host",
    "http://ann:4711/Tok-4711-abc@host",
    "http://ann:Tok@4711/abc@host:5000/team",
    "postgresql://ann:Tok@47/11-abc@db/mlflow",
]


def hidden(text: str, given: Given) -> bool:
    """Tell whether a text shows nothing of a secret, in no way of writing it."""
    secret = given.password or given.user
    header = basic_header(given.user, given.password).removeprefix("Basic ")
    forms = {secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1], header}
    return not any(form in text for form in forms if len(form) > 3) and "4711" not in text


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("given", [*LOGINS, *TOKENS], ids=str)
def test_an_address_of_a_server_holds_no_secret_for_people_or_for_mlflow(scheme: str, given: Given):
    address = read_store_address(f"{scheme}://{given.written}@mlflow.example.com:5000/team")
    for text in (address.shown, address.used, str(address), repr(address), f"{address}"):
        assert hidden(text, given)
    assert address.shown.startswith(f"{scheme}://")
    assert address.shown.endswith("***@mlflow.example.com:5000/team")
    assert address.page == f"{scheme}://mlflow.example.com:5000/team"
    assert (address.login.user, address.login.password) == (given.user, given.password)
    assert hidden(repr(pickle.loads(pickle.dumps(address.as_shown)).__dict__), given)


@pytest.fixture(scope="module")
def recorder():
    with GuardingProxy() as started:
        yield started


@pytest.mark.parametrize("given", [*LOGINS, *TOKENS], ids=str)
def test_every_request_carries_the_secret_as_it_was_meant(recorder: GuardingProxy, given: Given):
    uri = f"http://{given.written}@127.0.0.1:{recorder.port}/team"
    tracker = Tracker(uri)
    recorder.seen.clear()
    tracker.client.search_experiments()
    tracker.client.search_registered_models()
    repository_at(tracker.client.tracking_uri, "mlflow-artifacts:/1/model").list_artifacts()
    health, *requests = recorder.seen
    assert health == ("/team/health", None)
    assert len(requests) >= 3
    expected = basic_header(given.user, given.password)
    assert {sent for _, sent in requests} == {expected}
    assert all(path.startswith("/team/api/") for path, _ in requests)
    assert hidden(tracker.client.tracking_uri + repr(Runner(uri)), given)


def test_each_user_of_a_server_keeps_their_own_password_and_others_have_none(recorder):
    at = f"127.0.0.1:{recorder.port}"
    trackers = {
        basic_header("ann", "one-4711"): Tracker(f"http://ann:one-4711@{at}"),
        basic_header("bob", "two-4711"): Tracker(f"http://bob:two-4711@{at}"),
        basic_header("tok-4711", ""): Tracker(f"http://tok-4711@{at}"),
        basic_header("tok-4712", ""): Tracker(f"http://tok-4712@{at}"),
        None: Tracker(f"http://{at}"),
    }
    for tracker in trackers.values():
        tracker.client.search_experiments()
    for expected, tracker in trackers.items():
        recorder.seen.clear()
        tracker.client.search_experiments()
        assert {sent for _, sent in recorder.seen} == {expected}


def test_a_password_in_the_environment_is_for_an_address_without_one(recorder, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "eve")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "env-4711")
    at = f"127.0.0.1:{recorder.port}"
    for uri, expected in {
        f"http://{at}": basic_header("eve", "env-4711"),
        f"http://eve@{at}": basic_header("eve", "env-4711"),
        f"http://ann:own-4711@{at}": basic_header("ann", "own-4711"),
    }.items():
        client = Tracker(uri).client
        recorder.seen.clear()
        client.search_experiments()
        assert {sent for _, sent in recorder.seen} == {expected}


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg2", "mysql+pymysql"])
@pytest.mark.parametrize("given", LOGINS, ids=str)
def test_the_driver_of_a_database_gets_the_password_as_it_was_meant(scheme: str, given: Given):
    uri = f"{scheme}://{given.written}@db:5433/mlflow"
    address = read_store_address(uri)
    for text in (address.shown, str(address), repr(address)):
        assert hidden(text, given)
    assert address.shown.endswith(":***@db:5433/mlflow")
    assert address.database == ("db", 5433)
    url = make_url(address.used)
    if "@" not in given.written and "%" not in given.password:
        assert url == make_url(uri)
    _, arguments = url.get_dialect()().create_connect_args(url)
    assert (arguments["user"], arguments["password"]) == (given.user, given.password)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://ann@db/mlflow?password=Tok-4711",
        "postgresql://ann:Tok-4711@db/mlflow?sslpassword=Tok-4711&sslmode=require",
        "mysql+pymysql://ann@db/mlflow?passwd=Tok-4711",
        "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3DTok-4711",
    ],
)
def test_a_password_in_the_query_of_a_database_is_not_shown(uri: str):
    address = read_store_address(uri)
    assert "4711" not in f"{address}{address!r}"
    assert "***" in address.shown
    assert make_url(address.used) == make_url(uri)
    assert any("Tok-4711" in secret for secret in address.secrets)


@pytest.mark.parametrize("uri", AMBIGUOUS)
def test_an_address_with_two_meanings_is_refused_before_anybody_is_asked(uri: str):
    with pytest.raises(StoreError, match=r"can be read in several ways.*%2F") as caught:
        Tracker(uri)
    for text in (str(caught.value), without_password(uri)):
        assert "4711" not in text
        assert "Tok" not in text


@pytest.mark.parametrize(
    "uri",
    [
        "http://ann:Tok-4711@host/?password=Tok-4711",
        "http://host/?token=Tok-4711",
        "http://ann:Tok-4711@",
        "http://ann:Tok-4711@host:port",
        "http://ann:Tok-4711@[::",
        "postgresql://ann:Tok-4711@db:port/mlflow",
        "ftp://ann:Tok-4711@host",
        "postgres://ann:Tok-4711@db/mlflow",
        "sqlite+pysqlcipher://:Tok-4711@/file.db",
    ],
)
def test_an_address_that_is_none_does_not_show_its_secret_either(uri: str, capsys, caplog):
    caplog.set_level(logging.DEBUG)
    for arguments in (["runs"], ["-v", "best"], []):
        with pytest.raises(SystemExit) as end:
            main(["--tracking-uri", uri, *arguments])
        assert end.value.code == 2
        printed = capsys.readouterr()
        assert "Error: " in printed.err
        assert "4711" not in printed.out + printed.err + caplog.text


@pytest.mark.parametrize("arguments", [["{}"], ["runs", "{}"], ["run", "{}", "batch"], ["--x={}"]])
def test_an_address_in_the_wrong_place_of_a_command_is_not_shown(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        main([argument.format("http://ann:Tok-4711@host") for argument in arguments])
    assert end.value.code == 2
    printed = capsys.readouterr()
    assert "4711" not in printed.out + printed.err


def test_addresses_without_a_secret_stay_as_they_are():
    for uri in (
        "http://mlflow.example.com:5000/team/",
        "https://[::1]:5000",
        "postgresql://hooktune@db/mlflow",
        "sqlite:////data/a@b.db",
        "mlflow.db",
    ):
        address = read_store_address(uri)
        assert (address.shown, address.used, address.secrets) == (uri, uri, ())
