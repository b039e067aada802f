"""What becomes of the runs that processes left behind when they died."""

import logging
from collections.abc import Callable, Container, Mapping
from operator import attrgetter
from typing import Any, Final

from hooktune.naming import INITIAL_EXPERIMENT
from hooktune.processes import describe_process, has_died
from hooktune.tracking import queries, records
from hooktune.tracking.claims import Claims
from hooktune.tracking.models.best import decided_alone, read_again, settle
from hooktune.tracking.models.deletion import delete_model
from hooktune.tracking.models.files import models_by_run
from hooktune.tracking.records import Iteration, RunRecord
from hooktune.tracking.tracker import Tracker

logger = logging.getLogger(__name__)

KeyOf = Callable[[RunRecord], str]

RECORDED_KEY: Final[KeyOf] = attrgetter("run_key")


def take_over(
    tracker: Tracker,
    iteration: Iteration,
    run_key: str,
    params: Mapping[str, Any],
    key_of: KeyOf = RECORDED_KEY,
) -> RunRecord | None:
    """Return the run that a process left behind when it died, to go on with it.

    Where its model was whole already, nothing is left to do, and it is ended.

    Args:
        tracker: The tracking store.
        iteration: The iteration.
        run_key: What this process claims.
        params: All that is recorded as params, in case the process died before.
        key_of: Returns the key of a stored run; by default the one that is recorded on it.
    """
    left = [
        run for run in tracker.runs(iteration) if run.status == "RUNNING" and key_of(run) == run_key
    ]
    for doubled in left[1:]:
        tracker.end_run(doubled, "KILLED", "its process died")
    if not left:
        return None
    run = left[0]
    logger.info("taking over run %s, whose process is gone", run.run_id)
    present = read_again(tracker.client, iteration)
    is_over = run.run_id in {present.best_run, *tracker.runs_with_model(iteration)}
    uploaded = models_by_run(tracker.client, [iteration.experiment_id])
    for model in uploaded.get(run.run_id, []):
        if not is_over or model.model_id != run.model_id:
            delete_model(tracker.client, model.model_id)
    if is_over:
        with decided_alone(tracker.client, iteration) as present:
            settle(tracker.client, present, own=run.run_id)
        return tracker.end_run(run, "FINISHED")
    tracker.tag(run, {records.PROCESS_TAG: describe_process()})
    queries.describe_run(tracker.client, run.run_id, iteration.name.batch_id, params)
    return tracker.run(run.run_id)


def end_dead_runs(
    tracker: Tracker,
    iteration: Iteration,
    resumable: Container[str] = (),
    key_of: KeyOf = RECORDED_KEY,
) -> bool:
    """End the runs that processes of this machine left behind when they died.

    A run that was marked the best has finished; the models of the others are deleted. An average of
    runs is left to whoever makes the next one.

    Args:
        tracker: The tracking store.
        iteration: The iteration.
        resumable: Keys of runs that are to be gone on with instead.
        key_of: Returns the key of a stored run; by default the one that is recorded on it.

    Returns:
        Whether there were any.
    """
    claims, ended = tracker.claims(iteration), False
    for run in tracker.runs(iteration):
        if (
            run.average_of
            or run.status != "RUNNING"
            or not has_died(run.tags.get(records.PROCESS_TAG))
        ):
            continue
        claim = claims.try_claim(key_of(run))
        if claim is None:  # by somebody who goes on with it
            continue
        with claim:
            if key_of(run) not in resumable or run.run_id == iteration.best_run:
                logger.warning("run %s was left behind by a process that died", run.run_id)
                tracker.end_run(run, "KILLED", "its process died")
                ended = True
    if ended:
        with decided_alone(tracker.client, iteration) as iteration:
            settle(tracker.client, iteration)
    return ended


def sweep(tracker: Tracker, iteration: Iteration) -> None:
    """Remove what is left of processes that died: claims, and checkpoints of ended runs."""
    for name in (str(iteration.name), INITIAL_EXPERIMENT):
        if experiment := queries.find_experiment(tracker.client, name):
            Claims(tracker.client, experiment.experiment_id).sweep()
    for run in tracker.runs(iteration):
        if run.status != "RUNNING":
            tracker.checkpoints(run, 0).remove()
