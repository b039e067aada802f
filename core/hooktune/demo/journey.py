"""`hooktune demo`: the whole way, from a log that it makes itself to the one best model."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hooktune.demo.log import demo_initial_model, write_demo_log
from hooktune.iteration.log_release import release_batch
from hooktune.iteration.request import make_request

if TYPE_CHECKING:
    from hooktune.iteration.result import IterationResult
    from hooktune.iteration.runner import Runner

logger = logging.getLogger(__name__)

METHOD: Final = "Default Fine Tuning Method"
DEMO_PARAMS: Final = {"mini_batch_size": 8}
"""So small a log asks for small steps, lest there be too few of them."""


def run_demo(
    runner: "Runner", folder: Path, *, model: str | None = None, max_runs: int = 2, seed: int = 0
) -> "IterationResult":
    """Make a log, release it as a batch, and tune a model on it.

    Args:
        runner: Runs the method, on the tracking store that it was made for.
        folder: Gets the log, and the batch as `batch`.
        model: A folder or hub name; by default the model that the extra `demo` installs.
        max_runs: How many sets of hyper-parameters.
        seed: The seed of everything random.

    Raises:
        RequestError: The model or the folder cannot be used.
        HooktuneError: The work failed.
    """
    make_request({"max_runs": max_runs, "seed": seed})
    model = model or demo_initial_model()
    logger.info("1. Make a log of searches in this Python's standard library")
    log = write_demo_log(folder, initial_model=model, seed=seed)
    logger.info("   %s", log)
    logger.info("2. Release it as a batch")
    batch = folder / "batch"
    manifest = release_batch(log.sessions_path, log.items_path, batch)
    logger.info("   %s is batch %s", batch, manifest.batch_id)
    fixed = ", ".join(f"{name}={value}" for name, value in DEMO_PARAMS.items())
    logger.info("3. Run the %s on it with %d sets of hyper-parameters", METHOD, max_runs)
    logger.info("   with %s in all of them, as the log is small", fixed)
    return runner.run(
        METHOD, batch, max_runs=max_runs, params=DEMO_PARAMS, seed=seed, initial_model=model
    )
