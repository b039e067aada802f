"""The work of one iteration, from what was asked to the one model that is kept."""

import logging
from collections.abc import Iterable
from functools import partial
from threading import Event

from hooktune.contract.listing import Listing
from hooktune.contract.sessions import Batch
from hooktune.contract.splits import leakage
from hooktune.data.summary import summary_of
from hooktune.errors import RequestError
from hooktune.evaluation.baseline import StartingPoint, always_frozen, measure_starting_point
from hooktune.evaluation.outcome import plugin_tags, tell_iteration_finished, tell_run_finished
from hooktune.evaluation.report.report import keep_report
from hooktune.iteration.averaging import average_runs, can_be_averaged, clear_averaging
from hooktune.iteration.deleted import refusing_deleted
from hooktune.iteration.familiar import remember, warn_of_another_log
from hooktune.iteration.fingerprint import fingerprint, model_digest
from hooktune.iteration.holdout import measure_holdout
from hooktune.iteration.limits import Limits, seconds_of
from hooktune.iteration.messages import BeginIteration, StillWaiting, packed_model
from hooktune.iteration.one_run import LONG_RUN, run_once
from hooktune.iteration.plan import Plan, PlannedRun, make_plan
from hooktune.iteration.request import Request
from hooktune.iteration.result import IterationResult
from hooktune.iteration.run_search import Chosen
from hooktune.iteration.sharing import share_out
from hooktune.iteration.starting_model import load_starting_model
from hooktune.iteration.starting_run import model_address
from hooktune.iteration.takeover import end_dead_runs, sweep
from hooktune.plugin.host import Host
from hooktune.processes import give_back_memory, sweep_scratch
from hooktune.progress import phase
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.claims import Claim
from hooktune.tracking.records import INITIAL_MODEL_TAG, starting_metrics_text
from hooktune.training.encoder import TextEncoder
from hooktune.training.kept_embeddings import KeptEmbeddings
from hooktune.training.process_group import ALONE, ProcessGroup
from hooktune.training.shelf import Shelf

logger = logging.getLogger(__name__)


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
        RequestError: The request cannot be carried out as it was made; nothing is stored for it.
        StoreAwayError: The store went away and stayed away; what was learned is kept on disk.
        HooktuneError: The work failed.
    """
    sweep_scratch()
    plan = plan_work(tracker, host, batch, request)
    if _clear_up(tracker, plan):
        plan = make_plan(tracker, host, batch, request)
    for run in plan.done:
        logger.info("done before, and not run again: %s", run.name)
    looks = None
    if plan.existing is None:
        looks = summary_of(batch)
        warn_of_another_log(tracker, plan.name.method, looks)
        leaks = leakage(batch.sessions, plan.split.train, plan.split.test).in_words()
        if leaks is not None:
            logger.info("%s", leaks)
    budget = None if request.budget is None else seconds_of(request.budget)
    limits = Limits(budget, request.patience)
    while (
        plan.existing is None
        or (plan.todo and not _is_enough(limits, plan, plan.existing, plan.runs_before))
        or can_be_averaged(tracker, plan.existing)
    ):
        start = _measure_start(tracker, plan, host, batch, request, group)
        iteration = _begin(tracker, host, plan, start)
        if iteration is not None:
            with refusing_deleted(tracker, iteration):
                if plan.existing is None:
                    remember(tracker, iteration, looks or summary_of(batch))
                return _do_runs(tracker, batch, iteration, plan, start, request, limits, stop)
        # Another process was first, and what it has recorded holds.
        plan = make_plan(tracker, host, batch, request)
    clear_averaging(tracker, plan.existing, stop)
    return _finish(tracker, host, batch, plan, plan.existing, request, attempted=0)


def _is_enough(limits: Limits, plan: Plan, iteration: Iteration, runs: Iterable[RunRecord]) -> bool:
    """Tell whether no further run is to begin, and say why."""
    reason = limits.reached(iteration, runs, plan.search.keys)
    if reason:
        logger.info("no further run begins: %s", reason)
    return bool(reason)


def plan_work(tracker: Tracker, host: Host, batch: Batch, request: Request) -> Plan:
    """Make a plan as `make_plan` does, though the model to start from may wait on this disk.

    Where a run that is named cannot be started from, what earlier processes have kept is delivered
    first.

    Raises:
        RequestError: The request cannot be carried out as it was made.
    """
    try:
        return make_plan(tracker, host, batch, request)
    except RequestError:
        names_a_run = request.start not in (None, "initial", "last")
        if not names_a_run or not _send_what_was_kept(tracker):
            raise
    return make_plan(tracker, host, batch, request)


def _clear_up(tracker: Tracker, plan: Plan) -> bool:
    """Put right what earlier processes have left behind, now that the request is accepted.

    Returns:
        Whether the store holds more than the plan was made from.
    """
    has_changed = _send_what_was_kept(tracker)
    if plan.existing is not None:
        sweep(tracker, plan.existing)
        resumable = {planned.key for planned in plan.runs(plan.existing.starting_run)}
        key_of = plan.key_of(plan.existing.starting_run)
        has_changed |= end_dead_runs(tracker, plan.existing, resumable, key_of)
    return has_changed


def _send_what_was_kept(tracker: Tracker) -> bool:
    """Deliver what earlier processes could not, so that their runs are not done again.

    Returns:
        Whether anything has reached the store.
    """
    delivered = tracker.sync()
    for kept in delivered:
        if kept.is_elsewhere:
            logger.debug("what is kept of run %s stays: %s", kept.run_id, kept.problem)
        elif kept.problem:
            logger.warning("what is kept of run %s stays: %s", kept.run_id, kept.problem)
        else:
            logger.info("what was kept of run %s is in the store now", kept.run_id)
    return any(not kept.problem for kept in delivered)


def _measure_start(
    tracker: Tracker, plan: Plan, host: Host, batch: Batch, request: Request, group: ProcessGroup
) -> StartingPoint:
    """Load or make the model to start from, and measure it; nothing is stored.

    Raises:
        RequestError: A metric that is needed is not computed, or all are more than can be stored.
    """
    settings = plan.settings
    model = load_starting_model(tracker, host, plan, request.device)
    depth = always_frozen(model, plan.possible_sets())
    if group.size > 1:
        packed = packed_model(model)
        group.share(BeginIteration(packed, settings, depth, plan.judged, request.embeddings))
    shelf = None if group.size > 1 else Shelf.given(lambda: fingerprint(model).hex())
    encoder = TextEncoder(
        model, depth, group, shelf, KeptEmbeddings(partial(model_digest, model), request.embeddings)
    )
    start = measure_starting_point(host, batch, plan.split, settings, encoder, plan.judged)
    starting_metrics_text(start.evaluation.metrics)
    return start


def _begin(tracker: Tracker, host: Host, plan: Plan, start: StartingPoint) -> Iteration | None:
    """Record an iteration with all that it starts from.

    Returns:
        The iteration; None where another process has recorded something else in the meantime.
    """
    starting_run = plan.starting_run
    if starting_run is None:
        chosen = "" if plan.initial_model is None else model_address(plan.initial_model)
        tags = {INITIAL_MODEL_TAG: chosen, **plugin_tags(host)}
        with phase(f"uploading the initial model of {plan.name.method}"):
            starting_run = tracker.upload_initial_model(plan.name.method, start.encoder.model, tags)
        if not starting_run.is_of_this_process:
            return None
    iteration = plan.existing or tracker.create_iteration(
        plan.name, plan.settings, starting_run.run_id
    )
    if (iteration.settings, iteration.starting_run) != (plan.settings, starting_run.run_id):
        return None
    return tracker.record_starting_metrics(iteration, start.evaluation.metrics)


def _do_runs(
    tracker: Tracker,
    batch: Batch,
    iteration: Iteration,
    plan: Plan,
    start: StartingPoint,
    request: Request,
    limits: Limits,
    stop: Event,
) -> IterationResult:
    """Do the runs that are left to do, beside other processes that do the same."""
    works = {planned.key: planned for planned in plan.runs(iteration.starting_run)}
    attempted = 0

    def do(planned: PlannedRun, claim: Claim) -> RunRecord | None:
        nonlocal attempted

        def choose() -> Chosen | None:
            if planned.average is not None:
                return planned.average.chosen
            return plan.search.choose(planned.number, tracker.runs(iteration), iteration)

        with tracker.sending_rest():
            run = run_once(
                tracker, iteration, start, planned, choose, stop, claim,
                request.checkpoint_every, request.prune,
            )  # fmt: skip
        if run is not None:
            attempted += 1
            if (run.seconds or 0) > LONG_RUN:
                give_back_memory(collected=True)
            tell_run_finished(tracker, host, iteration, run)
        return run

    def wait() -> None:
        group.share(StillWaiting())

    group, host = start.encoder.group, start.evaluator.host
    share_out(
        tracker,
        iteration,
        works,
        do,
        stop,
        wait,
        key_of=plan.key_of(iteration.starting_run),
        is_enough=lambda: _is_enough(
            limits, plan, iteration, tracker.runs(iteration) if limits.patience else ()
        ),
    )
    if not stop.is_set():
        average_runs(tracker, iteration, start.encoder.model, do, stop, wait)
    if stop.is_set():
        result = _result(tracker, iteration, attempted)
    else:
        result = _finish(tracker, host, batch, plan, iteration, request, attempted)
    if start.encoder.kept is not None and not stop.is_set():
        start.encoder.kept.discard()
    if attempted:
        tell_iteration_finished(
            tracker, host, result.iteration, result.runs, result.best, stopped=stop.is_set()
        )
    return result


def _finish(
    tracker: Tracker,
    host: Host,
    batch: Batch,
    plan: Plan,
    iteration: Iteration,
    request: Request,
    attempted: int,
) -> IterationResult:
    if any(run.status == "FINISHED" for run in tracker.runs(iteration)):
        # Sooner than the model that this one replaces is deleted, with which it is compared.
        measure_holdout(tracker, host, batch, plan.split, iteration, request.device)
        iteration = tracker.finish_iteration(iteration)
    result = _result(tracker, iteration, attempted)
    if result.best is not None:
        keep_report(tracker, host, iteration, result.best, is_anew=attempted > 0)
    return result


def _result(tracker: Tracker, iteration: Iteration, attempted: int) -> IterationResult:
    runs = Listing(tracker.runs(iteration))
    best = tracker.best(iteration)
    return IterationResult(iteration, runs, best, attempted, tracker.address)
