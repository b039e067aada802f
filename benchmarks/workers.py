"""Is an iteration done sooner by two workers, where one run leaves a core idle?

    python benchmarks/workers.py [--rounds 3]      minutes on two idle cores; --quick for a look

The same command does the runs of a new iteration with one worker and with two, in turn, each in one
thread, so that a second core has nothing to do with one. What is timed is the whole command, from
its start to the table, on a store that is there, and in it the runs alone: from the beginning of
the first to the end of the last, without their average. The aim is 0.6 of the time.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from contenders import save_tiny_model
from hooktune import release_batch
from hooktune.tracking import Tracker
from measuring import cost_of_process, median, print_machine, print_table
from product_search import WORKLOADS, write_log

METHOD = "Default Fine Tuning Method"


def main() -> None:
    arguments = _arguments()
    print_machine(threads=1)
    walls: dict[int, list[Times]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = save_tiny_model(f"{folder}/model") if arguments.quick else arguments.model
        log, items = write_log(WORKLOADS["repeated"].of(arguments.sessions), folder)
        release_batch(log, items, folder / "batch")
        empty = folder / "empty.db"
        Tracker(f"sqlite:///{empty}").client.search_experiments()
        for _ in range(arguments.rounds):
            for workers, found in walls.items():
                found.append(seconds(folder, model, workers, arguments.runs))
                print(f"{workers} workers: {found[-1]}", flush=True)
    rows = []
    for workers, found in walls.items():
        row: dict[str, object] = {"workers": workers}
        for what in Times._fields:
            alone, wall = (median(getattr(each, what) for each in of) for of in (walls[1], found))
            row |= {f"{what}, wall s": wall, f"{what}, of one": wall / alone}
        rows.append(row)
    print()
    print_table(rows)


class Times(NamedTuple):
    """How long an iteration took, in seconds."""

    command: float
    runs: float


def seconds(folder: Path, model: str | None, workers: int, runs: int) -> Times:
    """Return how long a command takes for all runs of a new iteration."""
    # One of its own, as MLflow keeps open what it has read.
    place = Path(tempfile.mkdtemp(dir=folder))
    shutil.copy(folder / "empty.db", place / "mlflow.db")
    command = [
        sys.executable, "-m", "hooktune", "-q", "--tracking-uri", f"sqlite:///{place}/mlflow.db",
        "run", METHOD, str(folder / "batch"), "--max-runs", str(runs), "--workers", str(workers),
        "--device", "cpu", *(["--initial-model", model] if model else []),
    ]  # fmt: skip
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    cost, _ = cost_of_process(command, env=one_thread, stdout=subprocess.DEVNULL)
    tracker = Tracker(f"sqlite:///{place}/mlflow.db")
    (iteration,) = tracker.iterations()
    done = [run for run in tracker.runs(iteration) if not run.average_of]
    begin = min(run.started_at for run in done)
    end = max(run.started_at + 1000 * (run.seconds or 0) for run in done)
    shutil.rmtree(place)
    return Times(cost.wall, (end - begin) / 1000)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sessions", type=int, default=60)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", help="A folder.  [default: the method's own]")
    parser.add_argument("--quick", action="store_true", help="try it: a tiny model, one round")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.sessions = 1, 40
    return arguments


if __name__ == "__main__":
    main()
