"""What people read of iterations and runs: table rows, JSON values, lines."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hooktune.cli.tables import LINE, Column, Table
from hooktune.contract.collection_metrics import STANDARD_ERROR
from hooktune.contract.interval import Interval
from hooktune.contract.metric import (
    GAP_METRIC,
    RANKING_METRIC,
    RECIPROCAL_RANK,
    MainMetric,
)
from hooktune.errors import within_sentence
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.iteration.result import IterationResult
    from hooktune.tracking import Iteration, RunRecord, Tracker


@dataclass(frozen=True)
class BestModel:
    """What a method's next iteration starts from."""

    run: "RunRecord"
    iteration: "Iteration"
    """The one that the run belongs to; for an initial model, the last that started from it."""

    @property
    def main_metric(self) -> "MainMetric":
        """By which the iteration chooses."""
        return self.iteration.settings.main_metric

    @property
    def metrics(self) -> Mapping[str, float]:
        """What is known of the model: as a run, or as the starting model of an iteration."""
        is_start = self.run.run_id == self.iteration.starting_run
        return self.iteration.starting_metrics if is_start else self.run.metrics

    def change(self, name: str) -> str | None:
        """How far a metric is from the starting model's, with its interval; None if unknown."""
        interval = self.run.intervals.get(name)
        return None if interval is None else str(interval)


def best_model(
    tracker: "Tracker", all_iterations: "Sequence[Iteration]", method: str
) -> BestModel | None:
    """Return what a method's next iteration starts from; None where nothing is stored yet.

    Args:
        tracker: The tracking store.
        all_iterations: All that it holds.
        method: The method's display name.
    """
    run = tracker.starting_model(method)
    if run is None:
        return None
    own = [iteration for iteration in all_iterations if iteration.name.method == method]
    of_run = [iteration for iteration in own if iteration.name.batch_id == run.batch_id]
    from_run = [iteration for iteration in own if iteration.starting_run == run.run_id]
    last = max(of_run or from_run or own, key=lambda iteration: iteration.created_at)
    return BestModel(run, last)


def iteration_json(iteration: "Iteration") -> dict[str, Any]:
    """Return an iteration as JSON values."""
    return {
        "name": str(iteration.name),
        "method": iteration.name.method,
        "batch_id": iteration.name.batch_id,
        "starting_run": iteration.starting_run,
        "starting_metrics": iteration.starting_metrics,
        "best_run": iteration.best_run,
        "improved": iteration.improved,
        "finished_at": iteration.finished_at,
        "created_at": _iso(iteration.created_at),
        **iteration.settings.model_dump(),
    }


def run_json(run: "RunRecord", iteration: "Iteration", has_model: bool) -> dict[str, Any]:
    """Return a run as JSON values, beside the starting model of an iteration."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "status": run.status,
        "method": run.method,
        "batch_id": run.batch_id,
        "params": run.params,
        "proposed_by": run.proposed_by,
        "metrics": run.metrics,
        "results": results_json(iteration, run),
        "holdout": holdout_json(run),
        "held_back": run.held_back,
        "started_at": _iso(run.started_at),
        "seconds": run.seconds,
        "warning": run.warning,
        "failure": run.failure,
        "model_uri": run.model_uri if has_model else None,
    }


def results_json(iteration: "Iteration", run: "RunRecord") -> dict[str, Any]:
    """Return the shown metrics of a run, each beside the starting model's and with its interval."""
    starting, intervals = iteration.starting_metrics_of(run), run.intervals
    unknown = dict.fromkeys(field.name for field in fields(Interval))
    return {
        name: {
            "value": run.metrics.get(name),
            "starting": starting.get(name),
            **(intervals[name].as_json() if name in intervals else unknown),
        }
        for name in iteration.settings.shown_metrics
        if name in run.metrics
    }


def holdout_json(run: "RunRecord") -> dict[str, Any] | None:
    """Return what the run came to on the holdout, as `results_json` does; None where nothing."""
    if run.holdout is None:
        return None
    return {
        name: {"value": run.metrics.get(name), "starting": run.holdout.starting.get(name)}
        | found.as_json()
        for name, found in run.holdout.intervals.items()
    }


def iterations_table(iterations: Sequence["Iteration"]) -> Table:
    """Lay out iterations, a line each."""
    words = {True: "yes", False: "no, the starting model stays", None: "not finished"}
    columns = (
        Column("method", is_prose=True), Column("batch"), Column("improved", 4, is_prose=True),
        Column("best run"), Column("starting run", 2), Column("created", 1),
    )  # fmt: skip
    rows = [
        (
            iteration.name.method, iteration.name.batch_id, words[iteration.improved],
            iteration.best_run, iteration.starting_run, _iso(iteration.created_at),
        )
        for iteration in iterations
    ]  # fmt: skip
    return Table(columns, rows)


def runs_table(iteration: "Iteration", runs: Iterable["RunRecord"]) -> Table:
    """Lay out the runs of an iteration below its starting model, by its main metric."""
    from hooktune.tracking.search_tags import pruned_after

    main = iteration.settings.main_metric
    shown = iteration.settings.shown_metrics
    ordered = sorted(runs, key=lambda run: (*main.sort_key(run.metrics.get(main.name)), run.run_id))

    with_changes = any(run.intervals for run in ordered)
    before = metric_cells(shown, iteration.starting_metrics, {}, with_changes)
    with_origins = any(run.proposed_by for run in ordered)
    origin = ("",) if with_origins else ()
    rows = [("start", "starting model", *origin, "", *before, None, iteration.starting_run)]
    for run in ordered:
        mark = "best" if run.run_id == iteration.best_run else ""
        if run.held_back:
            mark = "held back" if pruned_after(run.tags) is None else "stopped"
        mark += " !" if run.warning else ""
        fit_seconds = run.metrics.get("fit_seconds")
        seconds = None if fit_seconds is None else f"{fit_seconds:.0f}"
        cells = metric_cells(shown, run.metrics, run.intervals, with_changes)
        origin = (run.proposed_by or "",) if with_origins else ()
        rows.append((mark, run.name, *origin, run.status, *cells, seconds, run.run_id))
    origins = (Column("come from", 0, is_prose=True),) if with_origins else ()
    columns = (
        Column(""), Column("hyper-parameters", 5, is_prose=True), *origins, Column("status", 6),
        *metric_columns(shown, with_changes), Column("seconds", 1), Column("run id"),
    )  # fmt: skip
    return Table(columns, rows)


def metric_columns(
    names: Sequence[str], with_changes: bool, *, always: Sequence[str] = ()
) -> list[Column]:
    """Return the columns of some metrics, of which the first and `always` matter most.

    With changes, the first and the ranking are followed by how far they are from the start's.
    """
    columns = []
    for name in names:
        importance = 9 if name in (names[0], *always) else 2
        columns.append(Column(name, importance))
        if with_changes and name in _changes_of(names):
            columns.append(Column("change, 95 %", min(importance, 7)))
    return columns


def metric_cells(
    names: Sequence[str],
    metrics: Mapping[str, float],
    intervals: "Mapping[str, Interval]",
    with_changes: bool,
) -> list[Any]:
    """Return the values that stand in the columns of some metrics."""
    cells: list[Any] = []
    for name in names:
        cells.append(metrics.get(name))
        if with_changes and name in _changes_of(names):
            cells.append(str(intervals[name]) if name in intervals else None)
    return cells


def _changes_of(names: Sequence[str]) -> tuple[str, str]:
    return names[0], RANKING_METRIC


def best_table(models: Iterable["BestModel"]) -> Table:
    """Lay out the best model of each method, by the method's own main metric."""
    columns = (
        Column("method", is_prose=True), Column("batch", 4),
        Column("hyper-parameters", 3, is_prose=True), Column("main metric", 6), Column("value"),
        Column("change, 95 %", 6), Column(RANKING_METRIC, 2), Column("its change, 95 %", 2),
        Column(RECIPROCAL_RANK, 1), Column("model"),
        Column("warning", 5, is_prose=True),
    )  # fmt: skip
    rows = [
        (
            model.run.method, model.run.batch_id or "(initial model)", model.run.name,
            str(model.main_metric), model.metrics.get(model.main_metric.name),
            model.change(model.main_metric.name),
            model.metrics.get(RANKING_METRIC), model.change(RANKING_METRIC),
            model.metrics.get(RECIPROCAL_RANK),
            model.run.model_uri, model.run.warning or "",
        )
        for model in models
    ]  # fmt: skip
    return Table(columns, rows)


def remarks(iteration: "Iteration", runs: Iterable["RunRecord"]) -> list[str]:
    """Return what a reader of the runs must not miss: warnings, failures, and no improvement."""
    said = []
    for run in runs:
        if run.warning:
            best = "The best run, " if run.run_id == iteration.best_run else "The run "
            said.append(f"! {best}{run.name} ({run.run_id}), {within_sentence(run.warning)}.")
        if run.failure:
            failure = within_sentence(run.failure)
            said.append(f"The run {run.name} ({run.run_id}) is {run.status}: {failure}.")
        if run.run_id == iteration.best_run:
            said += iteration.evidence_in_words(run)
    errors = [name for name in iteration.starting_metrics if name.endswith(STANDARD_ERROR)]
    if errors:
        listed = ", ".join(f"{name} {iteration.starting_metrics[name]:.4f}" for name in errors)
        said.append(f"Over all items a sample of the queries is measured. The start has {listed}.")
    if iteration.improved is False:
        said.append(
            "No run beats the starting model, which stays: the next iteration starts from it again."
        )
        said += _ranks_better(iteration, runs)
    return [printable(line, LINE) for line in said]


def _ranks_better(iteration: "Iteration", runs: Iterable["RunRecord"]) -> list[str]:
    """Say that a run ranks better beyond its interval, though it lost by distance shift alone."""
    main = iteration.settings.main_metric.name
    if main != MainMetric().name:
        return []
    for run in runs:
        ranking = run.intervals.get(RANKING_METRIC)
        if run.held_back or ranking is None or ranking.verdict(greater_is_better=True) != "better":
            continue
        return [
            f"The run {run.name} ({run.run_id}) ranks better than the starting model, "
            f"{RANKING_METRIC} {ranking}, and lost by {main} alone. What an iteration chooses by "
            "is fixed when it is begun; on another batch, or in another store, this keeps it: "
            f"hooktune run {shlex.quote(iteration.name.method)} DIR --main-metric {GAP_METRIC}"
        ]
    return []


def result_summary(result: "IterationResult") -> list[str]:
    """Say where the best model of an iteration is and how to use it."""
    lines = remarks(result.iteration, result.runs)
    if result.attempted == 0:
        lines.append("All of these runs had been done before, and nothing was trained.")
    if result.best is not None:
        lines += [
            f"The best model is that of run {result.best.run_id}: {result.best.model_uri}",
            f"Get it as a folder: hooktune export {result.best.run_id} DIR",
        ]
    return lines


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
