"""Writing the report of a run from what the store has kept of it."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from hooktune.contract.metric import RANKING_METRIC, holdout_name
from hooktune.contract.report import MetricChange, ReportFacts
from hooktune.evaluation.report.facts import report_facts
from hooktune.evaluation.report.page import render
from hooktune.progress import phase
from hooktune.tracking.artifacts import has_artifact, read_artifact

if TYPE_CHECKING:
    from hooktune.plugin.host import Host
    from hooktune.tracking import Iteration, RunRecord, Tracker

logger = logging.getLogger(__name__)

REPORT_FILE: Final = "report.html"
"""Where a run whose model is kept has its report, among its artifacts."""


def write_report(tracker: "Tracker", host: "Host", iteration: "Iteration", run: "RunRecord") -> str:
    """Return the report of a run, as one page of HTML.

    Args:
        tracker: The tracking store.
        host: The plugins, which bring its sections.
        iteration: The run's iteration.
        run: A run that has finished.

    Raises:
        HooktuneError: What the run has kept cannot be read, or a metric is described twice.
    """
    with phase("writing the report"):
        facts = report_facts(tracker, iteration, run, host.describe_metrics())
        began = datetime.fromtimestamp(run.started_at / 1000, UTC)
        about = f"Batch {facts.batch_id}, run {run.run_id} of {began:%Y-%m-%d}."
        return render(facts.method, about, answer(facts), host.report_sections(facts))


def keep_report(
    tracker: "Tracker", host: "Host", iteration: "Iteration", run: "RunRecord", *, is_anew: bool
) -> None:
    """Store the report of a run among its artifacts; a failure only warns.

    Args:
        tracker: The tracking store.
        host: The plugins, which bring its sections.
        iteration: The run's iteration.
        run: The run whose model is kept.
        is_anew: Whether one that is there is to be replaced, as there is more to tell. Where none
            is there, the process died that was to write it.
    """
    try:
        if is_anew or not has_artifact(tracker.client, run.run_id, REPORT_FILE):
            content = write_report(tracker, host, iteration, run)
            tracker.log_file(run, content.encode(), REPORT_FILE)
    except Exception as error:
        logger.warning("the report of run %s could not be stored: %s", run.run_id, error)


def stored_report(tracker: "Tracker", run: "RunRecord") -> bytes | None:
    """Return the report that was stored for a run; None where there is none."""
    return read_artifact(tracker.client, run.run_id, REPORT_FILE)


def answer(facts: ReportFacts) -> str:
    """Say in a few sentences whether the run is better than what it started from.

    What the holdout says counts, where it was measured: no choice has seen it.
    """
    main = facts.main_metric
    directions = {main.name: main.greater_is_better}
    directions.setdefault(RANKING_METRIC, True)
    told = []
    for name, greater_is_better in directions.items():
        held_out = holdout_name(name)
        shown = held_out if held_out in facts.changes else name
        if shown in facts.changes:
            told.append(_verdict(shown, facts.changes[shown], greater_is_better=greater_is_better))
    if not told:
        return f"It cannot be told whether this model is better: it has no {main.name}."
    told.append("Its model is kept." if facts.improved else "Its model is not kept.")
    return " ".join(told)


def _verdict(name: str, change: MetricChange, *, greater_is_better: bool) -> str:
    interval = change.interval
    if interval is None:
        before = "unknown" if change.before is None else f"{change.before:.4f}"
        return f"{name} is {change.after:.4f} after {before}; how sure that is was not kept."
    return interval.in_words(name, greater_is_better=greater_is_better)
