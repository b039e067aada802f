"""A stopwatch for hooktune: times the hooks, and measures recall. It brings no method.

At the end of each run it logs `seconds_<hook>` and `calls_<hook>` of the hooks that were called in
it. How long those took that are called before a run is told in the log, and so is what came of each
run, iteration and promotion.
"""

import logging
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from hooktune import hookimpl

if TYPE_CHECKING:
    import numpy as np

    from hooktune import ActiveRun, Addresses, Sessions

logger = logging.getLogger(__name__)

TOP = 5

# Runs may be at work in several threads of a process, each with totals of its own.
_totals: ContextVar[dict[str, float] | None] = ContextVar("totals", default=None)


@contextmanager
def timed(hook: str) -> Iterator[None]:
    """Time a call of a hook, for the run at work or for the log."""
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - started
        totals = _totals.get()
        if totals is None:
            logger.info("%s took %.3f seconds", hook, seconds)
        else:
            for name, value in ((f"seconds_{hook}", seconds), (f"calls_{hook}", 1)):
                totals[name] = totals.get(name, 0) + value


@hookimpl(wrapper=True)
def upload_initial_model() -> Generator[None, Any, Any]:
    """Time how long the method takes to give its initial model."""
    with timed("upload_initial_model"):
        return (yield)


@hookimpl(wrapper=True)
def hyper_parameters() -> Generator[None, Any, Any]:
    """Time how long the method takes to describe its hyper-parameters."""
    with timed("hyper_parameters"):
        return (yield)


@hookimpl(wrapper=True)
def main_metric() -> Generator[None, Any, Any]:
    """Time how long the method takes to name its main metric."""
    with timed("main_metric"):
        return (yield)


@hookimpl(wrapper=True)
def fit_batch(run: "ActiveRun") -> Generator[None, Any, Any]:
    """Time the training and all that is called in it, and log it, even of a run that fails."""
    totals: dict[str, float] = {}
    token = _totals.set(totals)
    try:
        with timed("fit_batch"):
            return (yield)
    finally:
        _totals.reset(token)
        run.log(totals, step=0, accumulate=())


@hookimpl(wrapper=True, specname="compute_metrics")
def time_compute_metrics() -> Generator[None, Any, Any]:
    """Time how long each plugin takes to measure."""
    with timed("compute_metrics"):
        return (yield)


@hookimpl
def run_finished(run_id: str, status: str, metrics: dict[str, float]) -> None:
    """Tell in the log what a run came to, and how long its training took."""
    seconds = metrics.get("seconds_fit_batch", 0)
    logger.info("run %s is %s after %.3f seconds of training", run_id, status, seconds)


@hookimpl
def iteration_finished(
    method: str,
    run_id: str | None,
    metrics: dict[str, float],
    starting_metrics: dict[str, float],
    addresses: "Addresses",
) -> None:
    """Tell in the log what an iteration came to: where its best run is, and its recall."""
    if run_id is None:
        logger.info("%s: no run beats the starting model", method)
        return
    name = f"test_recall_at_{TOP}"
    logger.info(
        "%s: the best run is %s, %s %s after %s",
        method,
        addresses.page or run_id,
        name,
        metrics.get(name),
        starting_metrics.get(name),
    )


@hookimpl
def promoted(method: str, addresses: "Addresses") -> None:
    """Tell in the log which model is the champion now."""
    logger.info("%s: the champion is %s now", method, addresses.model)


@hookimpl
def compute_metrics(sessions: "Sessions", scores: "np.ndarray") -> dict[str, float]:
    """Return the share of a session's clicked results that score among its five highest.

    Sessions that show no more than five results have nothing to say and are left out.
    """
    import numpy as np

    asked = sessions.not_irrelevant & (sessions.lengths > TOP)
    if not asked.any():
        return {}
    # Of equal scores the one that was shown last comes first, so that ties are never in favour.
    order = np.lexsort((-sessions.positions, -scores, sessions.session_index))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - np.repeat(sessions.offsets[:-1], sessions.lengths)
    found = sessions.sum_per_session(sessions.clicked & (place < TOP))
    clicks = sessions.sum_per_session(sessions.clicked)
    return {f"recall_at_{TOP}": float((found[asked] / clicks[asked]).mean())}
