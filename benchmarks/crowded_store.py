"""Measure each command on a small tracking store, and on the same one among many strangers' runs.

    python benchmarks/crowded_store.py [--experiments 300] [--runs 20000] [--repeats 3]

The small store holds one iteration of a tiny model. Other teams' experiments, with the params,
metrics, tags and models that their runs usually have, are written into a copy of its database by
SQL. Commands run in one process, so that no seconds of importing hide what they do themselves.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import random
import shutil
import sqlite3
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

METHOD = "Default Fine Tuning Method"
# Names that could be taken for an iteration's by somebody who reads them carelessly.
NEAR_NAMES = (
    "iteration / {}",
    "iteration / A / B / {}",
    "Iteration / M / {:024x}",
    "iteration / Stranger / {:024x}",
)
USUAL_NAMES = ("team-{}", "fraud model {}", "100% / experiment_{}", "Übung {}")


def main() -> None:
    arguments = _arguments()
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = make_small_store(folder)
        crowded = folder / "crowded.db"
        shutil.copy(folder / "mlflow.db", crowded)
        add_strangers(crowded, arguments.experiments, arguments.runs)
        print(f"{arguments.experiments} foreign experiments, {arguments.runs} foreign runs, "
              f"{crowded.stat().st_size / 1e6:.0f} MB")  # fmt: skip
        print(f"{'command':<24}{'small':>10}{'crowded':>10}{'ratio':>8}")
        for label, command in commands.items():
            small, large = (
                statistics.median(seconds(folder / file, command) for _ in range(arguments.repeats))
                for file in ("mlflow.db", "crowded.db")
            )
            print(f"{label:<24}{small:>10.3f}{large:>10.3f}{large / small:>8.2f}", flush=True)


def make_small_store(folder: Path) -> dict[str, list[str]]:
    """Do one iteration on a store in a folder; return the commands to time."""
    from hooktune import Runner
    from hooktune.data.manifest import read_manifest
    from hooktune.iteration.log_release import release_batch
    from hooktune.testing import made_up_log, tiny_model

    tiny_model().save_pretrained(str(folder / "tiny"))
    files = folder / "sessions.jsonl", folder / "items.jsonl"
    for path, rows in zip(files, made_up_log(), strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    batch = folder / "batch"
    release_batch(*files, batch)
    runner = Runner(f"sqlite:///{folder}/mlflow.db")
    fixed = {"mini_batch_size": 4}
    result = runner.run(
        METHOD, batch, max_runs=2, params=fixed, initial_model=str(folder / "tiny"), device="cpu"
    )
    runner.promote(METHOD, force=True)
    run = ["run", METHOD, str(batch), "--max-runs", "2", "--param", "mini_batch_size=4"]
    best = result.best or runner.tracker.initial_run(METHOD)
    assert best is not None
    return {
        "iterations": ["iterations"],
        "runs": ["runs", read_manifest(batch).batch_id],
        "best": ["best"],
        "compare": ["compare", read_manifest(batch).batch_id],
        "export": ["export", best.run_id, "{new}"],
        "run, nothing left": [*run, "--device", "cpu"],
        "run, one more": [*run, "--param", "epochs=1", "--param", "attraction={random}"],
        "promote, the same": ["promote", METHOD],
        "rollback, to none": ["rollback", METHOD],
        "plugins": ["plugins"],
        "batch show": ["batch", "show", str(batch)],
    }


def seconds(database: Path, command: list[str]) -> float:
    """Run a command and return how much CPU time it took; the database is read in this process."""
    from hooktune.cli import main as hooktune

    values = {"new": str(database.with_name(uuid.uuid4().hex)), "random": str(random.random() / 10)}
    filled = [part.format(**values) if "{" in part else part for part in command]
    said = io.StringIO()
    began = time.process_time()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            hooktune(["--tracking-uri", f"sqlite:///{database}", *filled])
        except SystemExit as end:
            status = end.code
    taken = time.process_time() - began
    if status and "replaced no champion" not in said.getvalue():
        raise SystemExit(f"{' '.join(filled)} ended with {status}:\n{said.getvalue()}")
    return taken


def add_strangers(database: Path, experiments: int, runs: int) -> None:
    """Write other people's experiments, runs, models and registered models into a store."""
    strangers = random.Random(0)
    patterns = itertools.cycle((*USUAL_NAMES, *NEAR_NAMES))
    names = [next(patterns).format(number) for number in range(experiments)]
    now = time.time_ns() // 1_000_000
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        (last,) = connection.execute("SELECT max(experiment_id) FROM experiments").fetchone()
        ids = range(last + 1, last + 1 + experiments)
        _insert(connection, "experiments", (
            {"experiment_id": experiment_id, "name": name,
             "artifact_location": f"file:///strangers/{experiment_id}",
             "lifecycle_stage": "active", "creation_time": now, "last_update_time": now}
            for experiment_id, name in zip(ids, names, strict=True)
        ))  # fmt: skip
        of_run = {uuid.UUID(int=strangers.getrandbits(128)).hex: ids[number % experiments]
                  for number in range(runs)}  # fmt: skip
        _insert(connection, "runs", (
            {"run_uuid": run, "name": f"run {run[:4]}", "experiment_id": experiment,
             "source_type": "LOCAL", "status": "FINISHED", "start_time": now, "end_time": now + 9,
             "lifecycle_stage": "active", "artifact_uri": f"file:///strangers/{experiment}/{run}"}
            for run, experiment in of_run.items()
        ))  # fmt: skip
        for table, count, value in (
            ("params", 10, lambda: {"value": str(strangers.random())}),
            ("tags", 6, lambda: {"value": "x" * 40}),
            ("latest_metrics", 10, lambda: _point(strangers, now)),
            ("metrics", 20, lambda: _point(strangers, now)),
        ):
            _insert(connection, table, (
                {"key": f"key_{number}", "run_uuid": run, **value()}
                for run in of_run for number in range(count)
            ))  # fmt: skip
        models = {f"m-{run}": run for run in list(of_run)[::4]}
        _insert(connection, "logged_models", (
            {"model_id": model, "experiment_id": of_run[run], "name": "model", "status": 2,
             "artifact_location": f"file:///strangers/{model}", "creation_timestamp_ms": now,
             "last_updated_timestamp_ms": now, "lifecycle_stage": "active", "source_run_id": run}
            for model, run in models.items()
        ))  # fmt: skip
        registered = [f"registered {number}" for number in range(experiments // 3)]
        _insert(connection, "registered_models", (
            {"name": name, "creation_time": now, "last_updated_time": now} for name in registered
        ))  # fmt: skip
        _insert(connection, "model_versions", (
            {"name": registered[number % len(registered)], "version": number // len(registered) + 1,
             "creation_time": now, "last_updated_time": now, "source": f"models:/{model}",
             "run_id": run, "current_stage": "None", "status": "READY"}
            for number, (model, run) in enumerate(list(models.items())[: 10 * len(registered)])
        ))  # fmt: skip


def _point(strangers: random.Random, now: int) -> dict[str, Any]:
    return {"value": strangers.random(), "timestamp": now, "step": strangers.randrange(10**6),
            "is_nan": 0}  # fmt: skip


def _insert(connection: sqlite3.Connection, table: str, rows: Iterable[dict[str, Any]]) -> None:
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    columns = ", ".join(first)
    marks = ", ".join(f":{name}" for name in first)
    statement = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"
    connection.execute(statement, first)
    connection.executemany(statement, rows)


def _arguments() -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiments", type=int, default=300)
    parser.add_argument("--runs", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
