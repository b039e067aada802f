"""A whole run of the Default Fine Tuning Method, from a log to the model that is kept."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

from hooktune import Runner, hookimpl
from hooktune.iteration.log_release import release_batch
from hooktune.iteration.result import IterationResult
from hooktune_loop import METHOD
from measuring import Phases
from product_search import SEED, Workload, test_ratio, write_log


class Watch:
    """An observer that divides an iteration into what is before, in and after the training."""

    NAME = "benchmark watch"

    def __init__(self, phases: Phases) -> None:
        self.phases = phases

    @hookimpl(wrapper=True)
    def fit_batch(self) -> Generator[None, Any, Any]:
        """Time the training with all that is logged in it."""
        self.phases.end("baseline")
        tuned = yield
        self.phases.end("training")
        return tuned


def run_tracked(
    workload: Workload,
    folder: Path,
    phases: Phases,
    params: Mapping[str, Any],
    model: str | None = None,
    device: str = "cpu",
) -> IterationResult:
    """Release a batch in a folder and run the method on it once, with an SQLite store there.

    The phase `evaluation` is all that comes after the training: the last measurement, and storing
    and checking the model.
    """
    released = folder / "batch"
    release_batch(*write_log(workload, folder), released)
    watch = Watch(phases)
    runner = Runner(f"sqlite:///{folder / 'store.db'}", only=["hooktune"], plugins=[watch])
    phases.end("load")
    result = runner.run(
        METHOD,
        released,
        max_runs=1,
        params=params,
        test_ratio=test_ratio(workload),
        seed=SEED,
        initial_model=model,
        device=device,
    )
    phases.end("evaluation")
    return result
