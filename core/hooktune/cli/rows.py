"""What people read of iterations and runs: table rows, JSON values, lines."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hooktune.cli.tables import LINE, Column, Table
from hooktune.contract.metric import RANKING_METRIC, RECIPROCAL_RANK, shown_metrics
from hooktune.errors import within_sentence
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.contract.metric import MainMetric
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


def run_json(run: "RunRecord", has_model: bool) -> dict[str, Any]:
    """Return a run as JSON values."""
    return {
        "run_id": run.run_id,
        "name": run.name,
        "status": run.status,
        "method": run.method,
        "batch_id": run.batch_id,
        "params": run.params,
        "metrics": run.metrics,
        "started_at": _iso(run.started_at),
        "seconds": run.seconds,
        "warning": run.warning,
        "failure": run.failure,
        "model_uri": run.model_uri if has_model else None,
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
    main = iteration.settings.main_metric
    shown = shown_metrics(main.name)
    ordered = sorted(runs, key=lambda run: (*main.sort_key(run.metrics.get(main.name)), run.run_id))

    def row(mark: str, name: str, status: str, metrics: Mapping[str, float], *rest: Any) -> Any:
        return (mark, name, status, *(metrics.get(metric) for metric in shown), *rest)

    rows = [
        row("start", "starting model", "", iteration.starting_metrics, None, iteration.starting_run)
    ]
    for run in ordered:
        mark = "best" if run.run_id == iteration.best_run else ""
        mark += " !" if run.warning else ""
        fit_seconds = run.metrics.get("fit_seconds")
        seconds = None if fit_seconds is None else f"{fit_seconds:.0f}"
        rows.append(row(mark, run.name, run.status, run.metrics, seconds, run.run_id))
    columns = (
        Column(""), Column("hyper-parameters", 5, is_prose=True), Column("status", 6),
        *metric_columns(shown), Column("seconds", 1), Column("run id"),
    )  # fmt: skip
    return Table(columns, rows)


def metric_columns(names: Sequence[str]) -> list[Column]:
    """Return the columns of some metrics, of which the first matters most."""
    return [Column(names[0]), *(Column(name, 2) for name in names[1:])]


def best_table(models: Iterable["BestModel"]) -> Table:
    """Lay out the best model of each method, by the method's own main metric."""
    columns = (
        Column("method", is_prose=True), Column("batch", 4),
        Column("hyper-parameters", 3, is_prose=True), Column("main metric", 6), Column("value"),
        Column(RANKING_METRIC, 2), Column(RECIPROCAL_RANK, 1), Column("model"),
        Column("warning", 5, is_prose=True),
    )  # fmt: skip
    rows = [
        (
            model.run.method, model.run.batch_id or "(initial model)", model.run.name,
            str(model.main_metric), model.metrics.get(model.main_metric.name),
            model.metrics.get(RANKING_METRIC), model.metrics.get(RECIPROCAL_RANK),
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
    if iteration.improved is False:
        said.append(
            "No run beats the starting model, which stays: the next iteration starts from it again."
        )
    return [printable(line, LINE) for line in said]


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
