"""Shares out the runs of an iteration among the processes that are at work on it."""

import logging
from collections.abc import Callable, Mapping
from threading import Event
from typing import Final, TypeVar

from hooktune.errors import ClaimLostError, RunDeletedError
from hooktune.iteration.takeover import RECORDED_KEY, KeyOf
from hooktune.tracking import Iteration, Tracker
from hooktune.tracking.claims import Claim

logger = logging.getLogger(__name__)

Work = TypeVar("Work")

_LOOK_AGAIN_AFTER: Final = 1.0  # seconds


def share_out(
    tracker: Tracker,
    iteration: Iteration,
    works: Mapping[str, Work],
    do: Callable[[Work, Claim], object],
    stop: Event,
    on_wait: Callable[[], object] = lambda: None,
    key_of: KeyOf = RECORDED_KEY,
    is_enough: Callable[[], bool] = lambda: False,
) -> int:
    """Do what no other process does, and wait for what others do, until all of it is over.

    What another process leaves undone, because it died or was interrupted, is done here; what has
    failed there is not tried again.

    Args:
        tracker: The tracking store.
        iteration: The iteration.
        works: What is to be done, by run keys.
        do: Does one of them, which nobody else does meanwhile.
        stop: Set from outside to end soon.
        on_wait: Called again and again while other processes are waited for.
        key_of: Returns the key of a stored run; by default the one that is recorded on it.
        is_enough: Tells before each of them whether no further one is to begin.

    Returns:
        How many of them this process has done.
    """
    claims, left, done = tracker.claims(iteration), dict(works), 0
    failed_before = {run.run_id for run in tracker.runs(iteration) if run.status == "FAILED"}

    def are_over() -> set[str]:
        return {
            key_of(run)
            for run in tracker.runs(iteration)
            if run.status == "FINISHED"
            or (run.status == "FAILED" and run.run_id not in failed_before)
        }

    waiting = False
    while True:
        for key in are_over() & left.keys():
            del left[key]
        done_before = done
        for key, work in list(left.items()):
            if stop.is_set() or is_enough():
                return done
            claim = claims.try_claim(key)
            if claim is None:
                continue
            with claim:
                if key not in are_over():
                    try:
                        do(work, claim)
                    except ClaimLostError as error:
                        logger.warning("a run was given up: %s", error)
                        continue
                    except RunDeletedError as error:
                        logger.error("%s", error)
                    done += 1
            del left[key]
        if not left:
            return done
        if done == done_before:
            if not waiting:
                logger.info("waiting for %d runs of other processes", len(left))
            waiting = True
            on_wait()
            stop.wait(_LOOK_AGAIN_AFTER)
