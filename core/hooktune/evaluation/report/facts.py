"""What a report tells of a run, gathered from the store."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hooktune.contract.collection_metrics import STANDARD_ERROR, is_movement
from hooktune.contract.metric import (
    GAP_METRIC,
    JUDGED_METRIC,
    TEST_PREFIX,
    MainMetric,
    MetricDescription,
    shown_metrics,
)
from hooktune.contract.report import MetricChange, ReportFacts
from hooktune.evaluation.details import stored_details
from hooktune.evaluation.evidence import metric_intervals
from hooktune.evaluation.label_figures import stored_label_figures
from hooktune.evaluation.query_figures import QueryFigures, stored_query_figures
from hooktune.evaluation.slices import query_slices

if TYPE_CHECKING:
    from hooktune.tracking import Iteration, RunRecord, Tracker


def report_facts(
    tracker: "Tracker",
    iteration: "Iteration",
    run: "RunRecord",
    described: Mapping[str, MetricDescription],
) -> ReportFacts:
    """Gather what a report tells of a run.

    Args:
        tracker: The tracking store.
        iteration: The run's iteration.
        run: A run that has finished.
        described: What plugins tell of metrics, by their names without prefix.

    Raises:
        HooktuneError: What the run has kept cannot be read.
    """
    runs = tracker.runs(iteration)
    figures, details = stored_query_figures(tracker, run), stored_details(tracker, run)
    main = iteration.settings.main_metric
    starting = iteration.starting_metrics_of(run)
    changes = _changes(run, starting, figures, iteration.settings.shown_metrics)
    curves = dict.fromkeys(("sliding_train_loss", *shown_metrics(main.name)))
    return ReportFacts(
        method=run.method,
        batch_id=iteration.name.batch_id,
        run={**run.as_row(), "model_bytes": run.model_bytes},
        improved=run.run_id == iteration.best_run,
        main_metric=main,
        changes=changes,
        described=described,
        settings=tuple(iteration.settings.in_words()),
        runs=[other.as_row() for other in runs],
        params=run.params,
        histories={name: tracker.metric_history(run, name) for name in curves},
        queries=None if figures is None else figures.to_pandas(),
        slices=(
            ()
            if figures is None
            else query_slices(figures, main, stored_label_figures(tracker, run))
        ),
        examples=() if details is None else details.examples,
        similarities=None if details is None else details.similarities,
        warnings=tuple(_warnings(run, figures, changes)),
    )


def _changes(
    run: "RunRecord",
    starting: Mapping[str, float],
    figures: QueryFigures | None,
    first: Sequence[str],
) -> dict[str, MetricChange]:
    """Return the metrics of the holdout and of the test sessions, the main ones first."""
    changes = {}
    if run.holdout is not None:
        changes = {
            name: MetricChange(before, run.metrics[name], run.holdout.intervals.get(name))
            for name, before in run.holdout.starting.items()
            if name in run.metrics
        }
    names = [
        name
        for name in run.metrics
        if (name.startswith(TEST_PREFIX) or name == JUDGED_METRIC)
        and not is_movement(name)
        and not name.endswith(STANDARD_ERROR)
    ]
    ordered = [*(name for name in first if name in names), *sorted(set(names) - set(first))]
    intervals = run.intervals
    if figures is not None:
        # What is shown was computed when the run ended.
        others = [name for name in ordered if name not in intervals]
        intervals |= metric_intervals(figures, others)
    return changes | {
        name: MetricChange(starting.get(name), run.metrics[name], intervals.get(name))
        for name in ordered
    }


def _warnings(
    run: "RunRecord", figures: QueryFigures | None, changes: Mapping[str, MetricChange]
) -> list[str]:
    """Say what to mind before the figures are believed."""
    found = [f"This run {run.warning}."] if run.warning else []
    shift, gap = (changes.get(name) for name in (MainMetric().name, GAP_METRIC))
    if shift and gap and shift.interval and gap.interval:
        rose = shift.interval.verdict(greater_is_better=True) == "better"
        if rose and gap.interval.verdict(greater_is_better=True) != "better":
            found.append(
                f"All similarities have moved together: {MainMetric().name} rose, and what clicked "
                f"results gained on the others beside them, {GAP_METRIC}, did not for certain."
            )
    if figures is not None and (leaked := figures.leaked):
        found.append(
            f"{leaked} of {len(figures)} test queries stand among those that were trained on, in "
            "other letters or with other blanks."
        )
    return found
