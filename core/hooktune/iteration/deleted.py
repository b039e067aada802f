"""What people delete in MLflow's pages while it is at work: told in words, not by MLflow."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from hooktune.errors import RunDeletedError, StoreAwayError
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.models.best import read_again
from hooktune.tracking.outage import with_retries
from hooktune.tracking.queries import find_run


@contextmanager
def refusing_deleted(tracker: Tracker, iteration: Iteration) -> Iterator[None]:
    """Do the work of an iteration, whose experiment may be deleted meanwhile.

    Raises:
        HooktuneError: It was.
    """
    try:
        yield
    except Exception:
        refuse_deleted(tracker, iteration)
        raise


def refuse_deleted(tracker: Tracker, iteration: Iteration, run: RunRecord | None = None) -> None:
    """Say so, once something has failed, where it failed because it was deleted meanwhile.

    Args:
        tracker: The tracking store; where it is away, nothing is known, and nothing said.
        iteration: The iteration at work.
        run: The run at work, if any.

    Raises:
        RunDeletedError: The run was deleted.
        HooktuneError: The iteration's experiment was.
    """

    def check() -> None:
        read_again(tracker.client, iteration)
        if run is not None and find_run(tracker.client, run.run_id) is None:
            raise RunDeletedError(
                f"Run {run.run_id} ({run.name}) was deleted in MLflow while it was at work, and "
                "nothing of it is kept. Give the same command again to do it anew."
            )

    with suppress(StoreAwayError):
        with_retries(tracker.tracking_uri, check, patience=0)
