"""The work of one iteration, from what was asked to the one model that is kept."""

import copy
import json
import logging
import re
import traceback
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hooktune.active_run import Measure, TrackedRun
from hooktune.batch import Batch, Mask, TrainingBatch, held_out_sessions
from hooktune.encoding import score_results
from hooktune.errors import ClaimLostError, HooktuneError, RequestError
from hooktune.host import Host
from hooktune.metrics import ranking_warning
from hooktune.naming import iteration_name
from hooktune.plain_text import printable_lines
from hooktune.planning import (
    Request,
    choose_params,
    describe_params,
    find_starting_run,
    run_key,
    settle_settings,
)
from hooktune.progress import RunBar, is_shown
from hooktune.randomness import seeded_alone
from hooktune.settings import IterationSettings, MethodSettings
from hooktune.sharing import share_out
from hooktune.tracker import Iteration, RunRecord, Tracker
from hooktune.tracker.claims import Claim
from hooktune.tracker.processes import sweep_scratch
from hooktune.tracker.records import INITIAL_MODEL_TAG
from hooktune.tracker.tracker import EndStatus

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sentence_transformers import SentenceTransformer

logger = logging.getLogger(__name__)

_TAG_KEY_LENGTH: Final = 200
_VERSIONS: Final = ("hooktune", "mlflow", "sentence-transformers", "torch", "transformers")


@dataclass(frozen=True)
class IterationResult:
    """What an iteration came to."""

    iteration: Iteration
    runs: tuple[RunRecord, ...]
    """All runs of the iteration, the oldest first; those of earlier calls too."""
    best: RunRecord | None
    """The run whose model is kept; None where no run beats the starting model."""
    trained: int
    """How many runs this call has done; the others had been done before."""


@dataclass(frozen=True, eq=False)
class _Start:
    """What all runs of an iteration start from and are compared with."""

    model: "SentenceTransformer"
    training: TrainingBatch
    measure: Measure
    metrics: dict[str, float]
    """Those of the starting model on the test sessions."""


def run_iteration(
    tracker: Tracker, host: Host, batch: Batch, request: Request, stop: Event
) -> IterationResult:
    """Do what is left to do of an iteration.

    Args:
        tracker: The tracking store.
        host: The iteration's plugins.
        batch: The released batch.
        request: What the user asks for.
        stop: Set from outside to end the run at work.

    Raises:
        RequestError: The request cannot be carried out as it was made; the store is untouched.
        HooktuneError: The work failed.
    """
    sweep_scratch()
    name = iteration_name(host.method.name, batch.batch_id)
    existing = tracker.iteration(name)
    settings = settle_settings(request, host.main_metric(), existing)
    in_test = held_out_sessions(batch.sessions, settings.test_ratio, settings.seed)
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
        tracker.sweep(existing)
        resumable = {_run_key(host, params, existing.starting_run) for params in candidates}
        tracker.end_dead_runs(existing, resumable)
        candidates = _not_done_yet(tracker, host, existing, candidates)
        if not candidates:
            return _finish(tracker, existing, trained=0)
    # Measured before anything is stored: a main metric that nobody computes must leave no trace.
    start = _measure_start(
        host, batch, in_test, settings, _load(host, starting_run, request, settings.seed)
    )
    if starting_run is None:
        starting_run = _upload_initial_model(tracker, host, request, start.model)
        if not tracker.is_of_this_process(starting_run):
            return run_iteration(tracker, host, batch, request, stop)
    iteration = existing or tracker.create_iteration(name, settings, starting_run.run_id)
    if (iteration.settings, iteration.starting_run) != (settings, starting_run.run_id):
        # Another process was first, and what it has recorded holds.
        return run_iteration(tracker, host, batch, request, stop)
    iteration = tracker.record_starting_metrics(iteration, start.metrics)
    keys = [_run_key(host, params, iteration.starting_run) for params in candidates]
    titles = [f"run {number}/{len(keys)}" for number in range(1, len(keys) + 1)]

    def do(work: tuple[str, "BaseModel | None"], claim: Claim) -> None:
        title, params = work
        _run_once(tracker, iteration, start, params, title, stop, claim, request.checkpoint_every)

    works = dict(zip(keys, zip(titles, candidates, strict=True), strict=True))
    trained = share_out(tracker, iteration, works, do, stop)
    if stop.is_set():
        return _result(tracker, iteration, trained)
    return _finish(tracker, iteration, trained)


def _not_done_yet(
    tracker: Tracker, host: Host, iteration: Iteration, candidates: "list[BaseModel | None]"
) -> "list[BaseModel | None]":
    """Return the sets of hyper-parameters that no finished run has had, if they can still be run.

    Raises:
        RequestError: There are some, and the model to start from is gone.
    """
    todo = []
    for params in candidates:
        if tracker.finished_run(iteration, _run_key(host, params, iteration.starting_run)):
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


def _finish(tracker: Tracker, iteration: Iteration, trained: int) -> IterationResult:
    if any(run.status == "FINISHED" for run in tracker.runs(iteration)):
        iteration = tracker.finish_iteration(iteration)
    return _result(tracker, iteration, trained)


def _result(tracker: Tracker, iteration: Iteration, trained: int) -> IterationResult:
    runs = tuple(tracker.runs(iteration))
    return IterationResult(iteration, runs, tracker.best(iteration), trained)


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
    with seeded_alone(seed):
        if starting_run is not None:
            return starting_run.load_model(request.device)
        return host.upload_initial_model(
            MethodSettings(request.initial_model, seed, request.device or "cpu")
        )


def _measure_start(
    host: Host,
    batch: Batch,
    in_test: Mask,
    settings: IterationSettings,
    model: "SentenceTransformer",
) -> _Start:
    """Measure the starting model: the baseline of all runs.

    Raises:
        RequestError: No plugin computes the main metric.
    """
    sessions = batch.sessions
    test, train = np.flatnonzero(in_test), np.flatnonzero(~in_test)
    scores = score_results(model, sessions, show_progress=is_shown())
    baseline = scores if settings.baseline == "starting" else sessions.rank
    measure = Measure(host, sessions.take(test), baseline[sessions.result_places(test)])
    metrics = measure.of_scores(model, scores[sessions.result_places(test)])
    main = settings.main_metric.name
    if main not in metrics and main != "test_loss":
        raise RequestError(
            f"No plugin computes the main metric {main!r} on this batch. There are: "
            f"{', '.join(sorted(metrics))}."
        )
    training = TrainingBatch(
        batch.batch_id, sessions.take(train), baseline[sessions.result_places(train)]
    )
    return _Start(model, training, measure, metrics)


def _upload_initial_model(
    tracker: Tracker, host: Host, request: Request, model: "SentenceTransformer"
) -> RunRecord:
    tags = {INITIAL_MODEL_TAG: request.initial_model or "", **_plugin_tags(host)}
    logger.info("uploading the initial model of %s", host.method.name)
    return tracker.upload_initial_model(host.method.name, model, tags)


def _facts(iteration: Iteration, start: _Start) -> dict[str, Any]:
    """Return what is recorded on each run beside its hyper-parameters."""
    settings = iteration.settings
    return {
        "hooktune.starting_run": iteration.starting_run,
        "hooktune.seed": settings.seed,
        "hooktune.test_ratio": settings.test_ratio,
        "hooktune.baseline": settings.baseline,
        "hooktune.main_metric": str(settings.main_metric),
        "hooktune.train_sessions": len(start.training.train),
        "hooktune.test_sessions": len(start.measure.sessions),
        **{f"hooktune.version.{name}": version(name) for name in _VERSIONS},
    }


def _run_once(
    tracker: Tracker,
    iteration: Iteration,
    start: _Start,
    params: "BaseModel | None",
    title: str,
    stop: Event,
    claim: Claim,
    checkpoint_every: float,
) -> None:
    """Do one run, or the rest of one whose process died; what it has tracked stays.

    Raises:
        ClaimLostError: Another process took this one for dead, and has the run now.
    """
    host, settings = start.measure.host, iteration.settings
    values, facts = _values(params), _facts(iteration, start)
    key = _run_key(host, params, iteration.starting_run)
    run = tracker.take_over(iteration, key, {**values, **facts})
    if run is not None and run.status != "RUNNING":
        return
    stored = None if run is None else tracker.stored_points(run)
    if run is None:
        run = tracker.start_run(
            iteration, describe_params(params), key, values, facts, _plugin_tags(host)
        )
    logger.info("%s: %s", title, run.name)
    metric_log = tracker.metric_log(run, stored.last_time if stored else 0)
    try:
        manifest = {"batch_id": iteration.name.batch_id, "params": values, **facts}
        tracker.log_text(run, json.dumps(manifest, indent=2) + "\n", "manifest.json")
        with RunBar(title) as bar, seeded_alone(settings.seed):
            active = TrackedRun(
                settings.seed,
                settings.main_metric,
                start.measure,
                metric_log,
                bar,
                stop,
                claim.check,
                tracker.checkpoints(run, checkpoint_every),
                stored,
            )
            model = host.fit_batch(active, copy.deepcopy(start.model), start.training, params)
            active.log({"fit_seconds": active.seconds}, active.last_step, accumulate=())
        metrics = active.evaluate(model, active.last_step)
        metric_log.close()
        if metric_log.error:
            raise HooktuneError(f"its metrics could not be stored: {metric_log.error}")
        claim.confirm()
        if stop.is_set():
            _end_run(tracker, run, host, claim, "KILLED", "stopped")
            return
        if warning := ranking_warning(metrics, iteration.starting_metrics):
            tracker.warn(run, warning)
        tracker.keep_if_best(iteration, tracker.run(run.run_id), model, active.last_step)
        _end_run(tracker, run, host, claim, "FINISHED")
    except ClaimLostError:
        metric_log.close()
        raise
    except Exception as error:
        claim.confirm()
        logger.error("%s failed (%s): %s", title, run.name, error)
        logger.debug("the traceback of %s", title, exc_info=True)
        metric_log.close()
        _store_traceback(tracker, run, error)
        _end_run(tracker, run, host, claim, "FAILED", f"{type(error).__name__}: {error}")
    except BaseException as interruption:
        metric_log.close()
        failure = f"interrupted ({type(interruption).__name__})"
        with suppress(ClaimLostError):
            _end_run(tracker, run, host, claim, "KILLED", failure)
        raise


def _end_run(
    tracker: Tracker,
    run: RunRecord,
    host: Host,
    claim: Claim,
    status: EndStatus,
    failure: str | None = None,
) -> None:
    """End a run, if it is still this process's own."""
    claim.confirm()
    tracker.tag(run, _failure_tags(host))
    tracker.end_run(run, status, failure)


def _store_traceback(tracker: Tracker, run: RunRecord, error: Exception) -> None:
    try:
        text = printable_lines("".join(traceback.format_exception(error)))
        tracker.log_text(run, text, "traceback.txt")
    except Exception as second:
        # The disk that the run failed on may be full still; the failure itself is a tag.
        logger.warning("the traceback of run %s could not be stored: %s", run.run_id, second)


def _values(params: "BaseModel | None") -> dict[str, Any]:
    return {} if params is None else params.model_dump(mode="json")


def _run_key(host: Host, params: "BaseModel | None", starting_run: str) -> str:
    # Who writes a method in a file edits and runs it in turns.
    code = {"hooktune.method": host.method.version} if host.method.from_file else {}
    return run_key(_values(params) | code, starting_run)


def _plugin_tags(host: Host) -> dict[str, str]:
    return {_tag_key("hooktune.plugin", each.name): each.origin for each in host.plugins}


def _failure_tags(host: Host) -> dict[str, str]:
    tags: dict[str, str] = {}
    for failure in host.failures:
        key = _tag_key("hooktune.plugin_failure", failure.name)
        tags[key] = "\n".join(filter(None, [tags.get(key), str(failure)]))
    return tags


def _tag_key(prefix: str, name: str) -> str:
    # A plugin's name may have characters that MLflow takes in no key.
    legal = re.sub(r"[^\w. -]", "_", name)
    return f"{prefix}.{legal}"[:_TAG_KEY_LENGTH]
