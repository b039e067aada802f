"""What several surfaces are attacked on: a local store with a run at work."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tracked import begin, put_back, start_run

from hooktune.tracking import RunRecord, Tracker


@pytest.fixture(scope="session")
def at_work(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A store with a run at work."""
    folder = tmp_path_factory.mktemp("at-work")
    shutil.copy(empty_store, folder / "mlflow.db")
    tracker = Tracker(f"sqlite:///{folder / 'mlflow.db'}", folder / "spool")
    start_run(tracker, begin(tracker), 0.2, "key")
    return folder


@pytest.fixture
def tracker(at_work: Path) -> Iterator[Tracker]:
    """Its tracker; what the test does to the store is undone."""
    with put_back(at_work):
        yield Tracker(f"sqlite:///{at_work / 'mlflow.db'}", at_work / "spool")


@pytest.fixture
def run(tracker: Tracker) -> RunRecord:
    """The run."""
    (run,) = tracker.runs(tracker.iterations()[0])
    return run
