"""What many tests start from: a tiny model, small batches and a fresh tracking store."""

import json
import os
import shutil
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hooktune.tracking import Tracker

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # threads only stand in each other's way on a tiny model
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for variable in ("HOOKTUNE_TRACKING_URI", "MLFLOW_TRACKING_URI", "HOOKTUNE_BLOCK", "HOOKTUNE_ONLY"):
    os.environ.pop(variable, None)

MakeBatch = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny_model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds a tiny sentence-transformers model."""
    from hooktune.testing import tiny_model

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_model().save_pretrained(str(folder))
    return folder


@pytest.fixture
def write_log(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Writes a made-up log; returns the paths of its sessions and its items."""
    from hooktune.testing import made_up_log

    def write(seed: int = 0, **sizes: Any) -> tuple[Path, Path]:
        folder = tmp_path / f"log-{seed}"
        folder.mkdir(exist_ok=True)
        return _write_rows(folder, made_up_log(seed, **sizes))

    return write


def _write_rows(folder: Path, log: Iterable[Iterable[dict]]) -> tuple[Path, Path]:
    paths = folder / "sessions.jsonl", folder / "items.jsonl"
    for path, rows in zip(paths, log, strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return paths


@pytest.fixture
def make_batch(tmp_path: Path, write_log: Callable[..., tuple[Path, Path]]) -> MakeBatch:
    """Releases a made-up log as a batch; returns its folder."""
    from hooktune.iteration.log_release import release_batch

    def make(seed: int = 0, **sizes: Any) -> Path:
        log, items = write_log(seed, **sizes)
        folder = tmp_path / f"batch-{seed}"
        release_batch(log, items, folder)
        return folder

    return make


@pytest.fixture(scope="session")
def released_batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a released batch, for tests of which each would only make the same one."""
    from hooktune.iteration.log_release import release_batch
    from hooktune.testing import made_up_log

    folder = tmp_path_factory.mktemp("released")
    release_batch(*_write_rows(folder, made_up_log(0)), folder / "batch")
    return folder / "batch"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database file of an empty tracking store, whose making takes seconds."""
    from hooktune.tracking import Tracker

    file = tmp_path_factory.mktemp("store") / "mlflow.db"
    Tracker(f"sqlite:///{file}").client.search_experiments()
    return file


@pytest.fixture
def store_uri(tmp_path: Path, empty_store: Path) -> str:
    """The address of a tracking store of the test's own."""
    file = tmp_path / "mlflow.db"
    shutil.copy(empty_store, file)
    return f"sqlite:///{file}"


@pytest.fixture
def tracker(store_uri: str) -> "Tracker":
    """A tracker of the test's own store."""
    from hooktune.tracking import Tracker

    return Tracker(store_uri)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that no process ends with one of them alone."""
    long = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in long)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let reports travel between processes, whatever odd texts a test has logged."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report
