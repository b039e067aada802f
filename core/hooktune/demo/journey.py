"""`hooktune demo`: the whole way, from a log that it makes itself to the one best model."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hooktune.demo.log import demo_initial_model, write_demo_log
from hooktune.iteration.log_release import release_batch
from hooktune.iteration.request import make_request

if TYPE_CHECKING:
    from hooktune.iteration.result import MethodOutcome
    from hooktune.iteration.runner import Runner

logger = logging.getLogger(__name__)

METHODS: Final = ("Default Fine Tuning Method", "Query Map Method")
DEFAULT_PARAMS: Final = {"mini_batch_size": 8}
"""Of the first: so small a log asks for small steps, lest there be too few of them."""


def run_demo(
    runner: "Runner", folder: Path, *, model: str | None = None, max_runs: int = 2, seed: int = 0
) -> "list[MethodOutcome]":
    """Make a log, release it as a batch, and tune a model on it by both bundled methods.

    Args:
        runner: Runs the methods, on the tracking store that it was made for.
        folder: Gets the log, and the batch as `batch`.
        model: A folder or hub name; by default the model that the extra `demo` installs.
        max_runs: How many sets of hyper-parameters, of each method.
        seed: The seed of everything random.

    Returns:
        What came of each method.

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
    outcomes: list[MethodOutcome] = []
    for number, method in enumerate(METHODS, 3):
        params = DEFAULT_PARAMS if method == METHODS[0] else {}
        logger.info(
            "%d. Run the %s with up to %d sets of hyper-parameters", number, method, max_runs
        )
        for name, value in params.items():
            logger.info("   with %s=%s in all of them, as the log is small", name, value)
        outcomes += runner.run_all(
            [method], batch, max_runs=max_runs, params=params, seed=seed, initial_model=model
        )
    return outcomes
