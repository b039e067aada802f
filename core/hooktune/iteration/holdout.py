"""The holdout: queries that no choice sees, and that measure the model that is kept, once."""

import logging

from hooktune.contract.metric import holdout_name, shown_metrics, with_holdout_prefix
from hooktune.contract.sessions import Batch, Floats, Sessions
from hooktune.contract.settings import IterationSettings, Split
from hooktune.errors import HooktuneError, StoreAwayError
from hooktune.evaluation.evidence import metric_intervals
from hooktune.evaluation.query_figures import HOLDOUT_QUERIES_FILE, query_figures
from hooktune.plugin.host import Host
from hooktune.plugin.measured import Measured
from hooktune.progress import phase
from hooktune.tracking import Iteration, RunRecord, Tracker
from hooktune.tracking.holdouts import Holdout, record_holdout
from hooktune.tracking.models.best import read_again
from hooktune.tracking.models.loading import let_go
from hooktune.training.scoring import score_results

logger = logging.getLogger(__name__)

_MEASURING = "holdout"
"""What is claimed to measure it, so that of several processes one does."""


def measure_holdout(
    tracker: Tracker,
    host: Host,
    batch: Batch,
    split: Split,
    iteration: Iteration,
    device: str | None,
) -> None:
    """Measure the model that an iteration keeps on the holdout, unless that was done.

    It is done when no run is left to do, so that nothing is chosen by what comes of it. A failure
    is a warning, and the next call tries again.

    Args:
        tracker: The tracking store.
        host: The plugins that compute metrics.
        batch: The released batch.
        split: Which of its sessions are the holdout.
        iteration: The iteration, whose runs have all ended.
        device: The torch device to measure on.
    """
    if not len(split.holdout):
        return
    try:
        with tracker.claims(iteration).claimed(_MEASURING):
            iteration = read_again(tracker.client, iteration)
            run = tracker.best(iteration)
            if run is None or run.holdout is not None:
                return
            starting = tracker.run(iteration.starting_run)
            if not tracker.has_model(run) or not tracker.has_model(starting):
                return
            with phase("measuring the kept model on the holdout", len(split.holdout)):
                _measure(tracker, host, batch, split, iteration.settings, run, starting, device)
    except StoreAwayError:
        raise
    except HooktuneError as error:
        logger.warning("the kept model of %s has no holdout metrics: %s", iteration.name, error)


def _measure(
    tracker: Tracker,
    host: Host,
    batch: Batch,
    split: Split,
    settings: IterationSettings,
    run: RunRecord,
    starting: RunRecord,
    device: str | None,
) -> None:
    sessions = batch.sessions.take(split.holdout)
    # One after the other, as each model may be large.
    baseline = None if settings.baseline == "starting" else sessions.rank
    before, scores = _measured(tracker, host, sessions, starting, baseline, device)
    baseline = scores if baseline is None else baseline
    after, _ = _measured(tracker, host, sessions, run, baseline, device)
    figures = query_figures(
        sessions,
        batch.sessions.take(split.train),
        *(with_holdout_prefix(measured.per_session) for measured in (before, after)),
    )
    tracker.log_file(run, figures.to_bytes(), HOLDOUT_QUERIES_FILE)
    shown = shown_metrics(settings.main_metric.name)
    intervals = metric_intervals(figures, map(holdout_name, shown))
    found = Holdout(with_holdout_prefix(before.metrics), intervals)
    record_holdout(tracker.client, run.run_id, with_holdout_prefix(after.metrics), found)


def _measured(
    tracker: Tracker,
    host: Host,
    sessions: Sessions,
    run: RunRecord,
    baseline: Floats | None,
    device: str | None,
) -> tuple[Measured, Floats]:
    """Return the metrics of a run's model, and its scores, which stand in for no baseline."""
    model = tracker.load_model(run, device)
    scores = score_results(model, sessions)
    measured = host.compute_metrics(
        model, sessions, scores, scores if baseline is None else baseline
    )
    let_go(model)
    return measured, scores
