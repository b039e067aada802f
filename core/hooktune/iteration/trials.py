"""The runs of the store as a sampler sees them."""

import logging
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from hooktune.contract.proposal import STEPS_OF_A_RUN, Trial, TrialState
from hooktune.iteration.run_keys import json_values
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.models.best import rank
from hooktune.tracking.search_tags import AVERAGE_TAG, pruned_after

if TYPE_CHECKING:
    from pydantic import BaseModel

logger = logging.getLogger(__name__)

_ITERATIONS: Final = 3
"""How many earlier iterations are looked at."""


def trial_of(iteration: Iteration, run: RunRecord) -> Trial:
    """Return a run of an iteration as a sampler sees it."""
    if run.status == "RUNNING":
        return Trial(run.params, "running", run_id=run.run_id)
    share = pruned_after(run.tags)
    value = _value(iteration, run, is_whole=share is None) if run.status == "FINISHED" else None
    if value is None:
        return Trial(run.params, "failed", run_id=run.run_id)
    if share is not None:
        steps = {round(share * STEPS_OF_A_RUN): value}
        return Trial(run.params, "pruned", steps=steps, run_id=run.run_id)
    return Trial(run.params, "finished", value, run_id=run.run_id)


def _value(iteration: Iteration, run: RunRecord, *, is_whole: bool) -> float | None:
    """Return a run's main metric, turned so that more is better; None where it has none."""
    main = iteration.settings.main_metric
    sign = 1 if main.greater_is_better else -1
    value = run.metrics.get(main.name)
    if value is None or not math.isfinite(value):
        return None
    start = iteration.starting_metrics_of(run).get(main.name)
    if is_whole and run.held_back and start is not None:
        return min(sign * value, sign * start)
    return sign * value


def earlier_trials(
    tracker: Tracker,
    iteration: Iteration | None,
    method: str,
    space: "type[BaseModel] | None",
    fixed: Mapping[str, Any],
) -> tuple[Trial, ...]:
    """Return the finished runs of a method's last iterations: of each the best first.

    What today's version of the method does not take any more is left out, as are repetitions.

    Args:
        tracker: The tracking store.
        iteration: The iteration that they are for, whose search is not to change while it is at
            work: only what was there when it was created counts. None where it is yet to be.
        method: The method's display name.
        space: The class of the method's hyper-parameters.
        fixed: What the user has fixed, which takes the place of what they had.
    """
    if space is None:
        return ()
    before = math.inf if iteration is None else iteration.created_at
    found: list[Trial] = []
    finished = [
        other
        for other in tracker.iterations(method)
        if other.finished_at and other.created_at < before and other != iteration
    ]
    for other in reversed(finished[-_ITERATIONS:]):
        main = other.settings.main_metric
        runs = [
            run
            for run in tracker.runs(other)
            if run.status == "FINISHED" and run.started_at < before and AVERAGE_TAG not in run.tags
        ]
        for run in sorted(runs, key=lambda run: (bool(run.held_back), *rank(main, run))):
            trial = _with_fixed(space, run, fixed)
            if trial is not None and all(trial.params != known.params for known in found):
                found.append(trial)
    return tuple(found)


def _with_fixed(space: "type[BaseModel]", run: RunRecord, fixed: Mapping[str, Any]) -> Trial | None:
    from pydantic import ValidationError

    try:
        params = space.model_validate({**run.params, **fixed})
    except ValidationError as error:
        logger.warning("hyper-parameters of run %s do not fit any more: %s", run.run_id, error)
        return None
    state: TrialState = "finished" if pruned_after(run.tags) is None else "pruned"
    return Trial(json_values(params), state, run_id=run.run_id)
