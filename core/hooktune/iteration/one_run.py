"""One run, from its claim to its end: whatever ends it, what it has tracked stays."""

import copy
import json
import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from threading import Event
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from hooktune.contract.interval import Interval
from hooktune.contract.metric import JUDGED_METRIC
from hooktune.contract.seeding import seeded_alone
from hooktune.errors import ClaimLostError, FailedAloneError, HooktuneError, in_words
from hooktune.evaluation.baseline import StartingPoint
from hooktune.evaluation.details import DETAILS_FILE, run_details
from hooktune.evaluation.evaluator import Evaluation
from hooktune.evaluation.evidence import evidence_tags
from hooktune.evaluation.figures import draw_run
from hooktune.evaluation.judged import JUDGED_FILE, judged_figures, judged_interval
from hooktune.evaluation.label_figures import LABELS_FILE, label_figures
from hooktune.evaluation.outcome import failure_tags, plugin_tags
from hooktune.evaluation.query_figures import QUERIES_FILE, query_figures
from hooktune.evaluation.stored_model import check_stored_model
from hooktune.iteration.averaging import keep_trained_weights
from hooktune.iteration.courses import RunCourse, keep_course, make_pruner, pruned_tags
from hooktune.iteration.deleted import refuse_deleted
from hooktune.iteration.limits import NO_PRUNING, PruneKind
from hooktune.iteration.messages import BeginRun, packed_model
from hooktune.iteration.plan import PlannedRun
from hooktune.iteration.run_keys import json_values
from hooktune.iteration.run_search import Chosen
from hooktune.iteration.runs_at_work import RecordedSteps
from hooktune.iteration.search import run_name
from hooktune.iteration.takeover import take_over
from hooktune.iteration.tracked_run import TrackedRun
from hooktune.plain_text import printable_lines
from hooktune.plugin.host import Host
from hooktune.processes import give_back_memory
from hooktune.progress import StepReporter, phase
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.claims import Claim
from hooktune.tracking.records import STARTING_METRICS_TAG, EndStatus, to_json
from hooktune.tracking.stored_points import StoredPoints

if TYPE_CHECKING:
    from pydantic import BaseModel

logger = logging.getLogger(__name__)

LONG_RUN: Final = 60.0
"""Seconds; after a run that took longer, a half one to free memory does not matter."""

_CHOICE: Final = "choice"
"""What is claimed to choose a run's hyper-parameters."""
_VERSIONS: Final = ("hooktune", "mlflow", "sentence-transformers", "torch", "transformers")


def run_once(
    tracker: Tracker,
    iteration: Iteration,
    start: StartingPoint,
    planned: PlannedRun,
    choose: Callable[[], Chosen | None],
    stop: Event,
    claim: Claim,
    checkpoint_every: float,
    prune: PruneKind = NO_PRUNING,
) -> RunRecord | None:
    """Do one run, or the rest of one whose process died; what it has tracked stays.

    Args:
        tracker: The tracking store.
        iteration: The iteration, as the store has it.
        start: What the run starts from and is compared with.
        planned: Which run it is.
        choose: Chooses its hyper-parameters, from what other runs have come to.
        stop: Set from outside to end it.
        claim: That of the run's key, which this process holds.
        checkpoint_every: After how many seconds its state is kept.
        prune: By what it is told whether it falls behind others and is stopped.

    Returns:
        The run as it ended; None where nothing is left to try.

    Raises:
        ClaimLostError: Another process took this one for dead, and has the run now.
        RunDeletedError: Somebody deleted it in MLflow.
    """
    host = start.evaluator.host
    begun: _Begun | None = None
    try:
        # Two that choose at once would not know of each other, and might try the same.
        with tracker.claims(iteration).claimed(_CHOICE):
            chosen = choose()
            if chosen is None:
                logger.info("%s is not done: there is nothing more to try", planned.title)
                return None
            begun = _begin(tracker, iteration, start, planned, chosen)
        if begun.run.status != "RUNNING":
            return begun.run
        # An average of runs is named by its title.
        named = ": ".join(dict.fromkeys((planned.title, begun.run.name)))
        logger.info("%s (%s)", named, chosen.origin)
        return _go_on(
            tracker, iteration, start, planned, begun, stop, claim, checkpoint_every, prune
        )
    except BaseException as error:
        is_interruption = not isinstance(error, Exception)
        if is_interruption and begun is not None and begun.run.status == "RUNNING":
            failure = f"interrupted ({type(error).__name__})"
            with suppress(ClaimLostError):
                _end_run(tracker, begun.run, host, claim, "KILLED", failure)
        raise


@dataclass(frozen=True, eq=False)
class _Begun:
    """A run that was started or taken over."""

    run: RunRecord
    params: "BaseModel | None"
    values: dict[str, Any]
    """The hyper-parameters as JSON values."""
    facts: dict[str, Any]
    """What is recorded beside them."""
    stored: StoredPoints | None = None
    """The points that it has already; None where it has none."""


def _begin(
    tracker: Tracker,
    iteration: Iteration,
    start: StartingPoint,
    planned: PlannedRun,
    chosen: Chosen,
) -> _Begun:
    """Start a run, or take over one whose process died."""
    host, params, facts = start.evaluator.host, chosen.params, _facts(iteration, start)
    values = json_values(params)
    left = take_over(tracker, iteration, planned.key, {**values, **facts}, planned.key_of)
    if left is not None:
        stored = tracker.stored_points(left) if left.status == "RUNNING" else None
        return _Begun(left, params, values, facts, stored)
    code = host.method.version if host.method.from_file else None
    tags = {**plugin_tags(host), **chosen.tags}
    name = run_name(params, code) if planned.average is None else planned.title
    run = tracker.start_run(iteration, name, planned.key, values, facts, tags)
    return _Begun(run, params, values, facts)


def _go_on(
    tracker: Tracker,
    iteration: Iteration,
    start: StartingPoint,
    planned: PlannedRun,
    begun: _Begun,
    stop: Event,
    claim: Claim,
    checkpoint_every: float,
    prune: PruneKind,
) -> RunRecord:
    """Train and evaluate what a run stands for, from where it is, to its end."""
    title, host, settings = planned.title, start.evaluator.host, iteration.settings
    run, params, stored = begun.run, begun.params, begun.stored
    last_time = stored.last_time if stored else 0
    metric_log = tracker.metric_log(run, last_time, claim.check_before_writing)
    try:
        batch_id = iteration.name.batch_id
        manifest = {"batch_id": batch_id, "params": begun.values, **begun.facts}
        tracker.log_text(run, json.dumps(manifest, indent=2) + "\n", "manifest.json")
        group, work = start.encoder.group, uuid4().hex
        with (
            StepReporter(title) as steps,
            group.failing_together(work),
            seeded_alone(settings.seed),
        ):
            average = planned.average if group.size > 1 else None
            packed = None if average is None else packed_model(average.model)
            group.share(BeginRun(None if params is None else begun.values, work, packed))
            course = RunCourse(
                settings.main_metric,
                start.evaluator.sessions.query_index,
                make_pruner(tracker, iteration, prune if planned.average is None else NO_PRUNING),
            )
            active = TrackedRun(
                settings.seed,
                settings.main_metric,
                start.evaluator,
                metric_log,
                RecordedSteps(steps, partial(tracker.tag, run)),
                stop,
                claim.check,
                tracker.checkpoints(run, checkpoint_every),
                stored,
                group,
                start.scores,
                course,
            )
            if planned.average is not None:
                model = planned.average.model
                active.log_fit_seconds(planned.average.fit_seconds)
            else:
                own = copy.deepcopy(start.encoder.model)
                model = host.fit_batch(active, own, start.training, params)
                active.log_fit_seconds()
                give_back_memory(collected=active.seconds > LONG_RUN)
            evaluation = active.evaluation_of(model, active.last_step, is_last=True)
        metric_log.close()
        if metric_log.error:
            raise HooktuneError(f"its metrics could not be stored: {metric_log.error}")
        claim.confirm()
        if stop.is_set():
            return _end_run(tracker, run, host, claim, "KILLED", "stopped")
        if active.is_pruned:
            logger.info("%s was stopped: %s", title, course.reason)
            tracker.tag(run, pruned_tags(course))
            return _end_run(tracker, run, host, claim, "FINISHED")
        if planned.average is None:
            keep_course(tracker, run, course.course)
        if active.starting_metrics:
            tracker.tag(run, {STARTING_METRICS_TAG: to_json(active.starting_metrics)})
        _record_evidence(tracker, iteration, run, start, evaluation)
        draw_run(tracker, iteration, run, start.evaluation.similarities, evaluation.similarities)
        if planned.is_one_of_several:
            keep_trained_weights(tracker, run, start.encoder.model, model)
        with phase("uploading the model, if it is the best"):
            method = iteration.name.method
            verify = partial(check_stored_model, start.evaluator, evaluation, method)
            tracker.keep_if_best(run, model, active.last_step, verify)
        return _end_run(tracker, run, host, claim, "FINISHED")
    except ClaimLostError:
        metric_log.close()
        raise
    except Exception as error:
        metric_log.close()
        claim.confirm()
        refuse_deleted(tracker, iteration, run)
        logger.error("%s failed (%s): %s", title, run.name, error)
        logger.debug("the traceback of %s", title, exc_info=True)
        _store_traceback(tracker, run, error)
        ended = _end_run(tracker, run, host, claim, "FAILED", in_words(error))
        if isinstance(error, FailedAloneError):
            raise
        return ended
    except BaseException:
        metric_log.close(patience=0)
        raise


def _record_evidence(
    tracker: Tracker,
    iteration: Iteration,
    run: RunRecord,
    start: StartingPoint,
    evaluation: Evaluation,
) -> None:
    """Record what each test query tells, before it is decided whether the run is the best."""
    sessions, trained_on = start.evaluator.sessions, start.training.train
    before, after = start.evaluation.per_session or {}, evaluation.per_session or {}
    figures = query_figures(sessions, trained_on, before, after)
    tracker.log_file(run, figures.to_bytes(), QUERIES_FILE)
    labelled = label_figures(sessions, trained_on, before, after)
    if labelled is not None:
        tracker.log_file(run, labelled.to_bytes(), LABELS_FILE)
    collection = start.evaluator.collection
    of_judged: dict[str, Interval] = {}
    judged_before, judged_after = (each.per_judged_query for each in (start.evaluation, evaluation))
    if collection and collection.judged and judged_before is not None and judged_after is not None:
        content = judged_figures(collection.judged, judged_before, judged_after)
        tracker.log_file(run, content, JUDGED_FILE)
        of_judged[JUDGED_METRIC] = judged_interval(judged_before, judged_after)
    if evaluation.scores is not None:
        details = run_details(
            sessions,
            (start.scores, evaluation.scores),
            (before, after),
            (start.evaluation.similarities, evaluation.similarities),
        )
        tracker.log_file(run, details.to_bytes(), DETAILS_FILE)
    with phase("computing the intervals of the metrics", len(figures)):
        tags = evidence_tags(
            iteration.settings,
            figures,
            evaluation.metrics,
            iteration.starting_metrics,
            of_judged,
            labelled,
        )
    tracker.tag(run, tags)


def _end_run(
    tracker: Tracker,
    run: RunRecord,
    host: Host,
    claim: Claim,
    status: EndStatus,
    failure: str | None = None,
) -> RunRecord:
    """End a run, if it is still this process's own."""
    claim.confirm()
    tracker.tag(run, failure_tags(host))
    return tracker.end_run(run, status, failure)


def _store_traceback(tracker: Tracker, run: RunRecord, error: Exception) -> None:
    try:
        text = printable_lines("".join(traceback.format_exception(error)))
        tracker.log_text(run, text, "traceback.txt")
    except Exception as second:
        # The disk that the run failed on may be full still; the failure itself is a tag.
        logger.warning("the traceback of run %s could not be stored: %s", run.run_id, second)


def _facts(iteration: Iteration, start: StartingPoint) -> dict[str, Any]:
    """Return what is recorded on each run beside its hyper-parameters."""
    return {
        "hooktune.starting_run": iteration.starting_run,
        **iteration.settings.as_facts(),
        "hooktune.train_sessions": len(start.training.train),
        "hooktune.test_sessions": len(start.evaluator.sessions),
        **{f"hooktune.version.{name}": version(name) for name in _VERSIONS},
    }
