"""Iterations and runs for the tests of the tracker, made without any training."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hooktune.contract.settings import IterationSettings
from hooktune.naming import IterationName
from hooktune.testing import tiny_model
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.connection import database_file

METHOD = "Some Method"
SHIFT = "test_not_irrelevant_dist_shift"


def initial_run(tracker: Tracker, method: str = METHOD) -> RunRecord:
    """Return the run of a method's initial model, which is uploaded at the first call."""
    return tracker.initial_run(method) or tracker.upload_initial_model(method, tiny_model(), {})


def begin(
    tracker: Tracker,
    batch: int = 1,
    *,
    method: str = METHOD,
    start: RunRecord | None = None,
    settings: IterationSettings | None = None,
    starting_value: float = 0.0,
) -> Iteration:
    """Create an iteration whose starting model has been measured."""
    initial_run(tracker, method)
    start = start or tracker.starting_model(method)
    settings = settings or IterationSettings()
    name = IterationName(method, f"{batch:024x}")
    iteration = tracker.create_iteration(name, settings, start.run_id)
    return tracker.record_starting_metrics(iteration, {settings.main_metric.name: starting_value})


def start_run(
    tracker: Tracker, iteration: Iteration, value: float | None, key: str = ""
) -> RunRecord:
    """Start a run and log its main metric, unless the value is None."""
    run = tracker.start_run(iteration, key or f"run {value}", key, {"value": str(value)}, {}, {})
    log = tracker.metric_log(run)
    if value is not None:
        log.add({iteration.settings.main_metric.name: value}, step=1)
    log.close()
    assert log.error is None
    return tracker.run(run.run_id)


def do_run(tracker: Tracker, iteration: Iteration, value: float | None, key: str = "") -> RunRecord:
    """Do all that the host does of a run, but for the training."""
    run = start_run(tracker, iteration, value, key)
    tracker.keep_if_best(run, tiny_model(), 1)
    return tracker.end_run(run, "FINISHED")


def finish(tracker: Tracker, batch: int, *values: float, **given: object) -> Iteration:
    """Do a whole iteration with a run for each value."""
    iteration = begin(tracker, batch, **given)
    for value in values:
        do_run(tracker, iteration, value)
    return tracker.finish_iteration(iteration)


def model_folders(tracker: Tracker) -> list[Path]:
    """Return the folders of all models on disk, whole or not."""
    root = database_file(tracker.tracking_uri).parent
    return sorted(root.glob("mlruns/*/models/*"))


def runs_with_model(tracker: Tracker) -> set[str]:
    """Return all runs of iterations that have a model."""
    return {run_id for each in tracker.iterations() for run_id in tracker.runs_with_model(each)}


@contextmanager
def put_back(folder: Path) -> Iterator[None]:
    """Let a test change a local store, which is afterwards as it was at the first such test.

    Opening a store that MLflow has opened before takes milliseconds, making another one a second.
    """
    kept = folder.with_name(f"{folder.name}.kept")
    if not kept.exists():
        shutil.copytree(folder, kept)
    yield
    if _files(folder) != _files(kept):
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
        shutil.copytree(kept, folder, ignore=lambda *_: ["mlflow.db"], dirs_exist_ok=True)
    # By SQLite itself, so that connections which are open see it.
    with (
        closing(sqlite3.connect(kept / "mlflow.db")) as before,
        closing(sqlite3.connect(folder / "mlflow.db")) as now,
    ):
        before.backup(now)


def _files(folder: Path) -> set[tuple[Path, int, int]]:
    """What is in the folders of a store, as far as a look tells."""
    return {
        (path.relative_to(folder), path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in folder.glob("*/**/*")
        if not path.is_dir()
    }
