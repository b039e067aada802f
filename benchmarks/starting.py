"""How long hooktune takes to start, as multiples of a Python that imports pluggy and pydantic.

    python benchmarks/starting.py [--rounds 9]       a minute on two cores; --quick for a look

Interpreters are started in turn, and medians are printed. `hooktune plugins` reads what is
installed; `hooktune iterations` reads an SQLite store that holds one iteration.
"""

import argparse
import os
import subprocess
import sys
import tempfile

from measuring import Cost, cost_of_process, median, print_machine, print_table

REFERENCE = "import pluggy, pydantic"
STARTS = {
    REFERENCE: ["-c", REFERENCE],
    "import hooktune": ["-c", "import hooktune"],
    "hooktune --help": ["-m", "hooktune", "--help"],
    "hooktune plugins": ["-m", "hooktune", "plugins"],
    "hooktune iterations": ["-m", "hooktune", "iterations"],
}
# In a process of its own, so that this one stays small.
MAKE_STORE = """
import sys
from pathlib import Path
from contenders import save_tiny_model
from measuring import Phases
from product_search import WORKLOADS
from tracked_run import run_tracked

folder = Path(sys.argv[1])
run_tracked(WORKLOADS["few"].of(20), folder, Phases(), {}, save_tiny_model(str(folder / "model")))
"""


def main() -> None:
    arguments = _arguments()
    print_machine(threads=1)
    with tempfile.TemporaryDirectory() as folder:
        here = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path])}
        subprocess.run([sys.executable, "-c", MAKE_STORE, folder], env=here, check=True)
        store = f"sqlite:///{folder}/store.db"
        found = measure_starts(2 if arguments.quick else arguments.rounds, store)
    reference = found[REFERENCE]
    rows = [
        {
            "process": name,
            "CPU s": cost.cpu,
            "wall s": cost.wall,
            "CPU, times": cost.cpu / reference.cpu,
            "wall, times": cost.wall / reference.wall,
        }
        for name, cost in found.items()
    ]
    print_table(rows)


def measure_starts(rounds: int, store: str) -> dict[str, Cost]:
    """Start each process so many times, in turn, and return the medians."""
    environment = {**os.environ, "HOOKTUNE_TRACKING_URI": store}
    found: dict[str, list[Cost]] = {name: [] for name in STARTS}
    for turn in range(rounds + 1):
        for name, options in STARTS.items():
            command = [sys.executable, *options]
            cost, _ = cost_of_process(command, env=environment, stdout=subprocess.DEVNULL)
            if turn:  # the first turn fills the caches of files and bytecode
                found[name].append(cost)
    return {
        name: Cost(median(cost.cpu for cost in costs), median(cost.wall for cost in costs))
        for name, costs in found.items()
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="try it: two rounds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
