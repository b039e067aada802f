"""What people read of iterations, runs, plugins and batches: table rows, JSON values, lines."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from hooktune.cli.tables import cell, table
from hooktune.contract.metric import RANKING_METRIC
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from hooktune.evaluation.comparison import Comparison, MethodOnBatch
    from hooktune.evaluation.promotion import Promotion
    from hooktune.iteration.result import IterationResult
    from hooktune.plugin.catalogue import Catalogue
    from hooktune.plugin.isolation import PluginVerdict
    from hooktune.tracking import Iteration, RunRecord

RECIPROCAL_RANK: Final = "test_mrr"
_LINE: Final = 2000


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


def iterations_table(iterations: Iterable["Iteration"]) -> "Table":
    """Lay out iterations, a line each."""
    words = {True: "yes", False: "no, the starting model stays", None: "not finished"}
    return table(
        ("method", "batch", "improved", "best run", "starting run", "created"),
        (
            (
                each.name.method, each.name.batch_id, words[each.improved], each.best_run,
                each.starting_run, _iso(each.created_at),
            )
            for each in iterations
        ),
    )  # fmt: skip


def runs_table(iteration: "Iteration", runs: Iterable["RunRecord"]) -> "Table":
    """Lay out the runs of an iteration below its starting model, by its main metric."""
    main = iteration.settings.main_metric
    shown = list(dict.fromkeys((main.name, RANKING_METRIC, RECIPROCAL_RANK)))
    ordered = sorted(runs, key=lambda run: (*main.sort_key(run.metrics.get(main.name)), run.run_id))

    def row(mark: str, name: str, status: str, metrics: Mapping[str, float], *rest: Any) -> Any:
        return (mark, name, status, *(metrics.get(metric) for metric in shown), *rest)

    rows = [row("", "starting model", "", iteration.starting_metrics, None, iteration.starting_run)]
    for run in ordered:
        mark = "best" if run.run_id == iteration.best_run else ""
        mark += " !" if run.warning else ""
        fit_seconds = run.metrics.get("fit_seconds")
        seconds = None if fit_seconds is None else f"{fit_seconds:.0f}"
        rows.append(row(mark, run.name, run.status, run.metrics, seconds, run.run_id))
    return table(("", "hyper-parameters", "status", *shown, "seconds", "run id"), rows)


def best_table(runs: Iterable["RunRecord"]) -> "Table":
    """Lay out the best run of each method."""
    rows = (
        (
            run.method, run.batch_id or "(initial model)", run.name,
            run.metrics.get("test_not_irrelevant_dist_shift"), run.metrics.get(RANKING_METRIC),
            run.metrics.get(RECIPROCAL_RANK), run.model_uri, run.warning or "",
        )
        for run in runs
    )  # fmt: skip
    return table(
        ("method", "batch", "hyper-parameters", "test_not_irrelevant_dist_shift", RANKING_METRIC,
         RECIPROCAL_RANK, "model", "warning"),
        rows,
    )  # fmt: skip


def remarks(iteration: "Iteration", runs: Iterable["RunRecord"]) -> list[str]:
    """Return what a reader of the runs must not miss: warnings, failures, and no improvement."""
    said = []
    for run in runs:
        if run.warning:
            best = "The best run, " if run.run_id == iteration.best_run else "The run "
            said.append(f"! {best}{run.name} ({run.run_id}), {run.warning}.")
        if run.failure:
            said.append(f"The run {run.name} ({run.run_id}) is {run.status}: {run.failure}.")
    if iteration.improved is False:
        said.append(
            "No run beats the starting model, which stays: the next iteration starts from it again."
        )
    return [printable(line, _LINE) for line in said]


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


def promotion_lines(promotion: "Promotion") -> list[str]:
    """Say which model is the champion now, what it was compared with, and where it is found."""
    champion, run, contest = promotion.champion, promotion.run, promotion.contest
    version = f"version {champion.number} of {champion.model}"
    if not promotion.is_new:
        return [printable(f"The model of run {run.run_id} is the champion already, {version}.")]
    lines = [f"The model of run {run.run_id} is the champion now, {version}."]
    if contest is not None:
        lines.append(f"Compared with {contest.rival.rstrip(',')} on {contest.sessions}:")
        for name in dict.fromkeys((contest.main_metric.name, RANKING_METRIC)):
            before, value = contest.present.get(name), contest.candidate.get(name)
            lines.append(f"  {name}: {cell(value)}, before {cell(before)}")
    lines.append(f"Stock MLflow loads it: models:/{champion.model}@champion")
    return [printable(line, _LINE) for line in lines]


def comparison_json(comparison: "Comparison") -> dict[str, Any]:
    """Return the methods of a batch as JSON values."""

    def method_json(each: "MethodOnBatch") -> dict[str, Any]:
        return {
            "method": each.method,
            "main_metric": asdict(each.iteration.settings.main_metric),
            "improved": each.iteration.improved,
            "run_id": each.run and each.run.run_id,
            "params": each.run and each.run.params,
            "metrics": {name: each.metric(name) for name in comparison.metrics},
            "starting_run": each.iteration.starting_run,
            "starting_metrics": each.iteration.starting_metrics,
            "fit_seconds": each.metric("fit_seconds"),
            "model_bytes": each.run and each.run.model_bytes,
            "warning": each.run and each.run.warning,
        }

    return {
        "batch_id": comparison.batch_id,
        "comparable": not comparison.obstacles,
        "winner": comparison.winner and comparison.winner.method,
        "methods": [method_json(each) for each in comparison.methods],
        "remarks": [*comparison.obstacles, *comparison.notes],
    }


def comparison_table(comparison: "Comparison") -> "Table":
    """Lay out the methods of a batch, a line each, below the model that they started from."""
    start = comparison.starting_metrics
    before = (start.get(name) for name in comparison.metrics)
    rows: list[tuple[Any, ...]] = [("", "starting model", *before, None, None, "")]
    for each in comparison.methods:
        mark = "winner" if each == comparison.winner else ""
        run = each.run
        mark += " !" if run and run.warning else ""
        seconds = each.metric("fit_seconds")
        size = run.model_bytes if run else None
        rows.append(
            (
                mark, each.method, *(each.metric(name) for name in comparison.metrics),
                None if seconds is None else f"{seconds:.1f}",
                None if size is None else f"{size / 1e6:.1f} MB",
                run.run_id if run else None,
            )
        )  # fmt: skip
    return table(("", "method", *comparison.metrics, "seconds", "model", "run id"), rows)


def comparison_remarks(comparison: "Comparison") -> list[str]:
    """Say which method has won, or why none has, and what else to mind."""
    lines = list(comparison.obstacles)
    if comparison.obstacles:
        lines.append(
            "So no method is the winner. Run them with the same settings on another batch, or in "
            "another tracking store, to compare them."
        )
    elif comparison.winner is None:
        lines.append("No method beats its starting model on this batch.")
    else:
        metric = comparison.winner.iteration.settings.main_metric.name
        lines.append(f"{comparison.winner.method} is the winner, by {metric}.")
    return [printable(line) for line in [*lines, *comparison.notes]]


def plugins_table(catalogue: "Catalogue") -> "Table":
    """Lay out what is installed, a line each."""
    return table(
        ("kind", "name", "distribution", "version", "status", "reason"),
        (
            (entry.kind, entry.name, entry.distribution, entry.version, entry.status, entry.reason)
            for entry in catalogue.entries
        ),
    )


def verdict_json(verdict: "PluginVerdict") -> dict[str, Any]:
    """Return what the check of a plugin came to as JSON values."""
    return asdict(verdict.entry) | {
        "status": verdict.status,
        "reason": verdict.reason,
        "hooks": list(verdict.hooks),
        "wraps": list(verdict.wraps),
    }


def verdicts_table(verdicts: Iterable["PluginVerdict"]) -> "Table":
    """Lay out what the check of each plugin came to."""
    return table(
        ("kind", "name", "distribution", "version", "status", "hooks", "reason"),
        (
            (
                each.entry.kind, each.entry.name, each.entry.distribution, each.entry.version,
                each.status, ", ".join([*each.hooks, *(f"around {hook}" for hook in each.wraps)]),
                each.reason,
            )
            for each in verdicts
        ),
    )  # fmt: skip


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
