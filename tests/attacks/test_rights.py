"""Users with passwords and rights, as MLflow's own app `basic-auth` keeps them."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from servers import MlflowServer

from hooktune import HooktuneError, IterationResult, Runner, StoreError, hookimpl
from hooktune.testing import tiny_model
from hooktune.tracking import failures

# MLflow lets its sessions go with their sockets open.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

ADMIN, PASSWORD = "admin", "correct-horse-4711"
# Without its cache the server would spend its time on digesting passwords.
SETTINGS = """
[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/users.db
admin_username = {admin}
admin_password = {password}
auth_cache_ttl_seconds = 600
"""


class Guarded:
    """A method that calls back while it trains."""

    def __init__(self, name: str, meanwhile: Callable[[], None]) -> None:
        self.NAME = name
        self._meanwhile = meanwhile

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def fit_batch(self, run, model, batch):
        self._meanwhile()
        run.log({"train_loss": 0.5}, 1)
        return model


class Guard:
    """An MLflow server with users, as its administrator sees it."""

    def __init__(self, server: MlflowServer) -> None:
        self._server = server

    def uri(self, user: str, password: str = PASSWORD) -> str:
        return self._server.uri.replace("://", f"://{user}:{password}@")

    def call(self, path: str, method: str = "POST", **said: str) -> dict:
        login, address = (ADMIN, PASSWORD), f"{self._server.uri}/api/{path}"
        answer = requests.request(method, address, json=said, auth=login, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def add(self, user: str, right: str | None = None) -> str:
        """Add a user who has a right on all experiments, and return their address of the store."""
        self.call("2.0/mlflow/users/create", username=user, password=PASSWORD)
        found = self.call("2.0/mlflow/experiments/search", max_results="100")["experiments"]
        for experiment in found if right else ():
            self.call(
                "3.0/mlflow/users/permissions/grant",
                username=user,
                resource_type="experiment",
                resource_id=experiment["experiment_id"],
                permission=right,
            )
        return self.uri(user)


@pytest.fixture(scope="module")
def guard(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Guard]:
    """A server that guards the store."""
    folder = tmp_path_factory.mktemp("guarded")
    shutil.copy(empty_store, folder / "server.db")
    settings = folder / "users.ini"
    settings.write_text(SETTINGS.format(folder=folder, admin=ADMIN, password=PASSWORD))
    environment = {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "a secret"
    }  # fmt: skip
    with MlflowServer(
        f"sqlite:///{folder / 'server.db'}", str(folder / "artifacts"), folder / "server.log",
        environment, "basic-auth",
    ) as server:  # fmt: skip
        yield Guard(server)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "_PAUSES", (0.05, 0.05))


@pytest.fixture
def iterate(released_batch: Path, tmp_path: Path) -> Callable[..., IterationResult]:
    """Does an iteration as a user."""

    def do(uri: str, method: str = "Guarded", meanwhile: Callable[[], None] = lambda: None):
        runner = Runner(uri, plugins=[Guarded(method, meanwhile)], spool=tmp_path / "spool")
        return runner.run(method, released_batch, device="cpu")

    return do


@pytest.fixture
def done(guard: Guard, iterate) -> None:
    """The administrator has done an iteration."""
    assert [run.status for run in iterate(guard.uri(ADMIN)).runs] == ["FINISHED"]


def test_who_may_only_read_sees_all_and_is_told_what_right_a_run_needs(
    guard: Guard, iterate, done: None
):
    uri = guard.add("reader", "READ")
    assert "Guarded" in [listed.name.method for listed in Runner(uri).iterations()]
    with pytest.raises(HooktuneError, match=r"refuses this user the right EDIT\. Ask") as refused:
        iterate(uri, "The reader's")
    assert PASSWORD not in str(refused.value)
    assert list(Runner(uri).iterations("The reader's")) == []


def test_who_may_edit_does_iterations_of_their_own(guard: Guard, iterate, done: None):
    uri = guard.add("editor", "EDIT")
    for _ in range(2):
        result = iterate(uri, "The editor's")
        assert [run.status for run in result.runs] == ["FINISHED"]


def test_who_has_no_right_is_told_which_one(guard: Guard, iterate, done: None):
    uri = guard.add("stranger")
    assert list(Runner(uri).iterations()) == []
    with pytest.raises(HooktuneError, match=r"refuses this user the right READ\. Ask"):
        iterate(uri)


def test_a_wrong_password_is_told_at_once_and_not_shown(guard: Guard, iterate):
    with pytest.raises(StoreError, match="does not let you in") as refused:
        iterate(guard.uri(ADMIN, "wrong-horse-4711"))
    assert "wrong-horse" not in str(refused.value)


def test_a_password_that_is_changed_during_a_run_is_an_error_and_nothing_is_lost(
    guard: Guard, iterate, done: None
):
    def change() -> None:
        new = {"username": "leaving", "password": "new-horse-4711"}
        guard.call("2.0/mlflow/users/update-password", "PATCH", **new)

    uri = guard.add("leaving", "EDIT")
    with pytest.raises(HooktuneError, match="check the user's name and password") as refused:
        iterate(uri, "The leaver's", change)
    assert PASSWORD not in str(refused.value)
    result = iterate(guard.uri("leaving", "new-horse-4711"), "The leaver's")
    assert [run.status for run in result.runs] == ["FINISHED"]
