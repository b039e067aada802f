"""`hooktune compare`: all methods that ran on a batch, side by side."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hooktune.cli.group import PATH, Context, cli, json_option
from hooktune.cli.models import write_page
from hooktune.cli.rows import metric_cells, metric_columns, results_json
from hooktune.cli.tables import Column, Table, json_text, print_table
from hooktune.contract.metric import RANKING_METRIC
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.evaluation.comparison import Comparison, MethodOnBatch


@cli.command()
@click.argument("batch", metavar="BATCH_ID|DIR")
@click.option("--plot", metavar="FILE.png", type=PATH, help="Draw it too.")
@click.option("--baselines", is_flag=True, help="Measure what can be had without tuning; with DIR.")
@click.option(
    "--judgements",
    metavar="FILE",
    type=PATH,
    help="What the methods were judged by, for the baselines.",
)
@click.option("--report", metavar="FILE.html", type=PATH, help="Write a report of it too.")
@click.option("--device", help="A torch device for the baselines.  [default: the best one]")
@json_option
@click.pass_obj
def compare(
    context: Context,
    /,
    batch: str,
    plot: Path | None,
    baselines: bool,
    judgements: Path | None,
    report: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Compare the methods that ran on a batch.

    They are shown side by side, each by its best run, and the best one is named. The batch is given
    by its folder, or by the beginning of its id.

    Baselines are the order in which results were shown, BM25, and the sum of the z-scores of BM25
    and the starting model, on the same test sessions.
    """
    compared = context.runner().compare(
        batch, baselines=baselines, judgements=judgements, device=device
    )
    if plot is not None:
        from hooktune.evaluation.comparison import plot_comparison

        plot_comparison(compared, plot)
    if report is not None:
        from hooktune.evaluation.report.comparison_report import comparison_report

        write_page(report, comparison_report(compared))
    print_comparison(compared, as_json)


def print_comparison(comparison: "Comparison", as_json: bool) -> None:
    """Print the methods of a batch side by side."""
    if as_json:
        click.echo(json_text(comparison_json(comparison)))
        return
    click.echo(f"batch {comparison.batch_id}")
    print_table(comparison_table(comparison))
    click.echo("\n".join(comparison_remarks(comparison)))


def comparison_json(comparison: "Comparison") -> dict[str, Any]:
    """Return the methods of a batch as JSON values."""

    def method_json(method: "MethodOnBatch") -> dict[str, Any]:
        return {
            "method": method.method,
            "main_metric": asdict(method.iteration.settings.main_metric),
            "improved": method.iteration.improved,
            "run_id": method.run and method.run.run_id,
            "params": method.run and method.run.params,
            "metrics": {name: method.metric(name) for name in comparison.metrics},
            "results": results_json(method.iteration, method.run) if method.run else {},
            "starting_run": method.iteration.starting_run,
            "starting_metrics": method.iteration.starting_metrics,
            "fit_seconds": method.metric("fit_seconds"),
            "model_bytes": method.run and method.run.model_bytes,
            "warning": method.run and method.run.warning,
        }

    return {
        "batch_id": comparison.batch_id,
        "comparable": not comparison.obstacles,
        "winner": comparison.winner and comparison.winner.method,
        "methods": [method_json(method) for method in comparison.methods],
        "baselines": comparison.anchors.as_rows(),
        "pairs": comparison.pairs.as_rows(),
        "remarks": [*comparison.obstacles, *comparison.notes],
    }


def comparison_table(comparison: "Comparison") -> Table:
    """Lay out the methods of a batch, a line each, below the model that they started from."""
    start = comparison.starting_metrics
    with_changes = any(method.run and method.run.intervals for method in comparison.methods)
    before = metric_cells(comparison.metrics, start, {}, with_changes)
    rows: list[tuple[Any, ...]] = [("", "starting model", *before, None, None, "")]
    for method in comparison.methods:
        mark = "winner" if method == comparison.winner else ""
        run = method.run
        mark += " !" if run and run.warning else ""
        seconds = method.metric("fit_seconds")
        size = run.model_bytes if run else None
        measured = (run.metrics, run.intervals) if run else ({}, {})
        cells = metric_cells(comparison.metrics, *measured, with_changes)
        rows.append(
            (
                mark, method.method, *cells,
                None if seconds is None else f"{seconds:.1f}",
                None if size is None else f"{size / 1e6:.1f} MB",
                run.run_id if run else None,
            )
        )  # fmt: skip
    for anchor in comparison.anchors:
        cells = metric_cells(comparison.metrics, anchor.metrics, {}, with_changes)
        rows.append(("baseline", anchor.name, *cells, None, None, ""))
    # Nothing but rankings is known of anchors.
    always = (RANKING_METRIC,) if comparison.anchors else ()
    columns = (
        Column(""), Column("method", is_prose=True),
        *metric_columns(comparison.metrics, with_changes, always=always),
        Column("seconds", 1), Column("model", 1), Column("run id"),
    )  # fmt: skip
    return Table(columns, rows)


def comparison_remarks(comparison: "Comparison") -> list[str]:
    """Say which method has won, or why none has, and what else to mind."""
    lines = [*comparison.obstacles, comparison.winner_in_words()]
    lines += map(str, comparison.pairs)
    return [printable(line) for line in [*lines, *comparison.notes]]
