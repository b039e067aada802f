"""Requests of a whole iteration meet faults, and nothing is lost, doubled or left over.

In each round every kind of request meets one fault, another one in each round: after as many rounds
as there are faults, every kind has met all of them, at its first request. In as many rounds again
it meets them at others, if it has any, from round to round later in the iteration.
`HOOKTUNE_LONG_TESTS=1` does all rounds, and with `-s` the table of docs/reliability.md is printed.
"""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated

import pytest
import torch
from fault_proxy import FAULTS, FaultProxy, Rule
from mlflow import MlflowClient
from pydantic import BaseModel, ConfigDict
from servers import MlflowServer
from stored_state import state

from hooktune import HooktuneError, Runner, SearchRange, hookimpl
from hooktune.testing import tiny_model
from hooktune.tracking import Tracker, failures

# MLflow lets its sessions go with their sockets open.
pytestmark = [
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.long,
]

LONG = bool(os.environ.get("HOOKTUNE_LONG_TESTS"))
MOST_COMMANDS = 12
"""So many commands may end in an error before one meets no fault any more."""

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"

RIGHT, REPEATED, NOT_MET = "+", "again", "-"

Pair = tuple[str, str]
"""A kind of request and the name of a fault."""


class Params(BaseModel):
    model_config = ConfigDict(frozen=True)

    lift: Annotated[float, SearchRange(0.2, 0.9)] = 0.1


class Attacked:
    """A method whose second run is better than its first, so that a model is replaced."""

    def __init__(self, name: str) -> None:
        self.NAME = name

    @hookimpl
    def upload_initial_model(self, settings):
        return tiny_model(settings.seed)

    @hookimpl
    def hyper_parameters(self):
        return Params

    @hookimpl
    def fit_batch(self, run, model, batch, params):
        for step in range(1, 4):
            run.log({"train_loss": 1 / step}, step)
        with torch.no_grad():
            model[0].auto_model.encoder.layer[-1].output.LayerNorm.bias += params.lift
        run.evaluate(model, 3)
        return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is the server's."""
    return tmp_path_factory.mktemp("attacked")


@pytest.fixture(scope="module")
def server(folder: Path, empty_store: Path) -> Iterator[MlflowServer]:
    shutil.copy(empty_store, folder / "server.db")
    with MlflowServer(
        f"sqlite:///{folder / 'server.db'}", str(folder / "artifacts"), folder / "server.log"
    ) as started:
        yield started


@pytest.fixture(scope="module")
def proxy(server: MlflowServer) -> Iterator[FaultProxy]:
    with FaultProxy(server.uri) as standing:
        yield standing


def orphans(server: MlflowServer, artifacts: Path) -> set[str]:
    """The models that have files on the server's disk and no record."""
    client = MlflowClient(server.uri)
    experiments = [each.experiment_id for each in client.search_experiments()]
    known = {model.model_id for model in client.search_logged_models(experiments, max_results=1000)}
    there = {path.parents[1].name for path in artifacts.glob("*/models/*/artifacts/MLmodel")}
    return there - known


def iterate(uri: str, method: str, batch: Path, spool: Path) -> None:
    runner = Runner(uri, plugins=[Attacked(method)], spool=spool)
    runner.run(method, batch, max_runs=2, device="cpu", checkpoint_every=0)


@pytest.fixture(scope="module")
def undisturbed(server, proxy, released_batch, tmp_path_factory) -> tuple[Counter[str], dict]:
    """How many requests of each kind an iteration makes, and what it leaves."""
    spool = tmp_path_factory.mktemp("spool") / "spool"
    # The experiment of initial models is there.
    Tracker(server.uri).upload_initial_model("Not first", tiny_model(), {})
    began = len(proxy.seen)
    iterate(proxy.uri, "Undisturbed", released_batch, spool)
    return Counter(proxy.seen[began:]), state(server.uri, "Undisturbed")


def attack(proxy, batch, spool: Path, number: int, kinds: Counter[str]) -> dict[Pair, str]:
    """Do an iteration in which each kind of request meets a fault; say what came of each pair."""
    method, names = f"Round {number}", list(FAULTS)
    pairs = {kind: names[(at + number) % len(names)] for at, kind in enumerate(kinds)}
    part = max(0, number + 1 - len(FAULTS)) / (len(FAULTS) + 1)  # of the iteration has passed
    proxy.rules = [
        Rule(kind, FAULTS[fault], after=int(kinds[kind] * part)) for kind, fault in pairs.items()
    ]
    stopped: list[str] = []
    for _ in range(MOST_COMMANDS):
        try:
            iterate(proxy.uri, method, batch, spool)
            break
        except HooktuneError as error:
            stopped.append(proxy.last.kind)
            print(f"round {number}, {proxy.last.kind}: {type(error).__name__}: {str(error)[:300]}")
    met = {rule.kind for rule in proxy.rules if rule.happened}
    proxy.rules = []
    iterate(proxy.uri, method, batch, spool)
    return {
        (kind, fault): NOT_MET if kind not in met
        else REPEATED if kind in stopped else RIGHT
        for kind, fault in pairs.items()
    }  # fmt: skip


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[Pair, list[str]]]:
    """What came of each pair so far; at the end it is printed as a table."""
    found: dict[Pair, list[str]] = {}
    yield found
    print(f"\n{dict(Counter(chain(*found.values())))}\n")
    print("| request |", " | ".join(FAULTS), "|")
    print("|---|" + ":-:|" * len(FAULTS))
    for kind in dict.fromkeys(kind for kind, _ in found):
        cells = (in_words(found.get((kind, each), ())) for each in FAULTS)
        print(f"| `{kind.strip(', ')}` |", *(f"{cell} |" for cell in cells))


def in_words(came_of: Iterable[str]) -> str:
    """What the table says of a pair."""
    return " ".join(dict.fromkeys(came_of))


def table_of_page() -> dict[Pair, str]:
    """What docs/reliability.md says of each pair."""
    _, _, table = PAGE.read_text(encoding="utf-8").partition("\n| request |")
    faults, _, *rows = table.partition("\n\n")[0].splitlines()
    names = [name.strip() for name in faults.strip("| ").split("|")]
    found = {}
    for row in rows:
        kind, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        found |= {(kind.strip("`"), name): cell for name, cell in zip(names, cells, strict=True)}
    return found


def difference(found: dict, expected: dict) -> dict:
    return {key: (found[key], expected[key]) for key in expected if found[key] != expected[key]}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    monkeypatch.setattr(failures, "_PAUSES", (0.05, 0.05))


@pytest.mark.parametrize("number", range(2 * len(FAULTS)) if LONG else (0,))
def test_an_iteration_survives_a_fault_of_each_kind_of_request(
    number: int, folder, server, proxy, released_batch, undisturbed, outcomes, tmp_path: Path
):
    kinds, expected = undisturbed
    for pair, outcome in attack(proxy, released_batch, tmp_path / "spool", number, kinds).items():
        outcomes.setdefault(pair, []).append(outcome)
    assert difference(state(server.uri, f"Round {number}"), expected) == {}
    assert orphans(server, folder / "artifacts") == set()
    assert not (tmp_path / "spool").exists()


def test_the_page_has_the_table(undisturbed, outcomes):
    kinds, page = undisturbed[0], table_of_page()
    assert {kind for kind, _ in page} == {kind.strip(", ") for kind in kinds}
    assert list(dict.fromkeys(fault for _, fault in page)) == list(FAULTS)
    for (kind, fault), came_of in outcomes.items():
        said = page[kind.strip(", "), fault].split()
        # What this process has asked before it may not ask again, and so not be met.
        met = [outcome for outcome in dict.fromkeys(came_of) if outcome != NOT_MET]
        assert NOT_MET in said or NOT_MET not in came_of, (kind, fault)
        if met:
            expected = [outcome for outcome in said if outcome != NOT_MET]
            assert met == (expected if LONG else expected[:1]), (kind, fault)
