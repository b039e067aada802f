"""The work of one iteration, from what was asked to the one model that is kept."""

import logging
from dataclasses import dataclass
from threading import Event
from typing import TYPE_CHECKING

import numpy as np

from hooktune.contract.seeding import seeded_alone
from hooktune.contract.sessions import Batch
from hooktune.contract.settings import IterationSettings, MethodSettings
from hooktune.errors import RequestError
from hooktune.evaluation.baseline import always_frozen, measure_starting_point
from hooktune.iteration.messages import BeginIteration, StillWaiting, packed_model
from hooktune.iteration.one_run import method_run_key, plugin_tags, run_once
from hooktune.iteration.plan import (
    Request,
    choose_params,
    describe_params,
    find_starting_run,
    settle_settings,
)
from hooktune.iteration.sharing import share_out
from hooktune.iteration.takeover import end_dead_runs, sweep
from hooktune.naming import iteration_name
from hooktune.plugin.host import Host
from hooktune.processes import sweep_scratch
from hooktune.progress import phase
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.claims import Claim
from hooktune.tracking.records import INITIAL_MODEL_TAG
from hooktune.training.encoder import TextEncoder
from hooktune.training.process_group import ALONE, ProcessGroup

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IterationResult:
    """What an iteration came to."""

    iteration: Iteration
    runs: tuple[RunRecord, ...]
    """All runs of the iteration, the oldest first; those of earlier calls too."""
    best: RunRecord | None
    """The run whose model is kept; None where no run beats the starting model."""
    attempted: int
    """How many runs this call has done; the others had been done before."""


def run_iteration(
    tracker: Tracker,
    host: Host,
    batch: Batch,
    request: Request,
    stop: Event,
    group: ProcessGroup = ALONE,
) -> IterationResult:
    """Do what is left to do of an iteration.

    Args:
        tracker: The tracking store.
        host: The iteration's plugins.
        batch: The released batch.
        request: What the user asks for.
        stop: Set from outside to end the run at work.
        group: The processes that train together; the others have called `follow`.

    Raises:
        RequestError: The request cannot be carried out as it was made; the store is untouched.
        StoreAwayError: The store went away and stayed away; what was learned is kept on disk.
        HooktuneError: The work failed.
    """
    sweep_scratch()
    _send_what_was_kept(tracker)
    name = iteration_name(host.method.name, batch.batch_id)
    existing = tracker.iteration(name)
    settings = settle_settings(request, host.main_metric(), existing)
    split = settings.split(batch.sessions)
    _check_recorded_scores(batch, settings)
    starting_run = find_starting_run(tracker, name.method, request, existing)
    previous_run = existing.previous_run if existing else None
    candidates = choose_params(
        tracker,
        host,
        request,
        settings.seed,
        tracker.run(previous_run) if previous_run else tracker.starting_model(name.method),
    )
    if existing is not None:
        sweep(tracker, existing)
        resumable = {method_run_key(host, params, existing.starting_run) for params in candidates}
        end_dead_runs(tracker, existing, resumable)
        candidates = _not_done_yet(tracker, host, existing, candidates)
        if not candidates:
            return _finish(tracker, existing, attempted=0)
    # Evaluation before anything is stored: a main metric that nobody computes must leave no trace.
    model = _load(host, starting_run, request, settings.seed)
    depth = always_frozen(model, candidates)
    if group.size > 1:
        group.share(BeginIteration(packed_model(model), settings, depth))
    encoder = TextEncoder(model, depth, group)
    start = measure_starting_point(host, batch, split, settings, encoder)
    if starting_run is None:
        starting_run = _upload_initial_model(tracker, host, request, model)
        if not tracker.is_of_this_process(starting_run):
            return run_iteration(tracker, host, batch, request, stop, group)
    iteration = existing or tracker.create_iteration(name, settings, starting_run.run_id)
    if (iteration.settings, iteration.starting_run) != (settings, starting_run.run_id):
        # Another process was first, and what it has recorded holds.
        return run_iteration(tracker, host, batch, request, stop, group)
    iteration = tracker.record_starting_metrics(iteration, start.metrics)
    keys = [method_run_key(host, params, iteration.starting_run) for params in candidates]
    titles = [f"run {number}/{len(keys)}" for number in range(1, len(keys) + 1)]

    def do(work: tuple[str, "BaseModel | None"], claim: Claim) -> None:
        title, params = work
        with tracker.sending_rest():
            run_once(
                tracker, iteration, start, params, title, stop, claim, request.checkpoint_every
            )

    works = dict(zip(keys, zip(titles, candidates, strict=True), strict=True))
    attempted = share_out(
        tracker, iteration, works, do, stop, on_wait=lambda: group.share(StillWaiting())
    )
    if stop.is_set():
        return _result(tracker, iteration, attempted)
    return _finish(tracker, iteration, attempted)


def _send_what_was_kept(tracker: Tracker) -> None:
    """Deliver what earlier processes could not, so that their runs are not done again."""
    for each in tracker.sync():
        if each.is_elsewhere:
            logger.debug("what is kept of run %s stays: %s", each.run_id, each.problem)
        elif each.problem:
            logger.warning("what is kept of run %s stays: %s", each.run_id, each.problem)
        else:
            logger.info("what was kept of run %s is in the store now", each.run_id)


def _not_done_yet(
    tracker: Tracker, host: Host, iteration: Iteration, candidates: "list[BaseModel | None]"
) -> "list[BaseModel | None]":
    """Return the sets of hyper-parameters that no finished run has had, if they can still be run.

    Raises:
        RequestError: There are some, and the model to start from is gone.
    """
    todo = []
    for params in candidates:
        if tracker.finished_run(iteration, method_run_key(host, params, iteration.starting_run)):
            logger.info("done before, and not run again: %s", describe_params(params))
        else:
            todo.append(params)
    if todo and not tracker.has_model(tracker.run(iteration.starting_run)):
        raise RequestError(
            f"{iteration.name} started from the model of run {iteration.starting_run}, which was "
            "deleted when a better one replaced it, so that no further runs can be compared with "
            "the finished ones. Release another batch to go on."
        )
    return todo


def _finish(tracker: Tracker, iteration: Iteration, attempted: int) -> IterationResult:
    if any(run.status == "FINISHED" for run in tracker.runs(iteration)):
        iteration = tracker.finish_iteration(iteration)
    return _result(tracker, iteration, attempted)


def _result(tracker: Tracker, iteration: Iteration, attempted: int) -> IterationResult:
    runs = tuple(tracker.runs(iteration))
    return IterationResult(iteration, runs, tracker.best(iteration), attempted)


def _check_recorded_scores(batch: Batch, settings: IterationSettings) -> None:
    missing = int(np.isnan(batch.sessions.rank).sum())
    if settings.baseline == "recorded" and missing:
        raise RequestError(
            f"{missing} of {batch.sessions.result_count} results of batch {batch.batch_id} have no "
            "recorded rank score. Measure from the starting model instead: --baseline starting."
        )


def _load(
    host: Host, starting_run: RunRecord | None, request: Request, seed: int
) -> "SentenceTransformer":
    """Return the model to start from; without a starting run, the one that the method brings."""
    with phase("loading the model"), seeded_alone(seed):
        if starting_run is not None:
            return starting_run.load_model(request.device)
        return host.upload_initial_model(
            MethodSettings(request.initial_model, seed, request.device or "cpu")
        )


def _upload_initial_model(
    tracker: Tracker, host: Host, request: Request, model: "SentenceTransformer"
) -> RunRecord:
    tags = {INITIAL_MODEL_TAG: request.initial_model or "", **plugin_tags(host)}
    logger.info("uploading the initial model of %s", host.method.name)
    with phase("uploading the initial model"):
        return tracker.upload_initial_model(host.method.name, model, tags)
