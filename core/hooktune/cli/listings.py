"""What the store holds: iterations, runs, the best, and methods side by side."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hooktune.cli.group import PATH, Context, cli, json_option
from hooktune.errors import RequestError, did_you_mean
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.evaluation.comparison import Comparison
    from hooktune.tracking import Iteration, Tracker


@cli.command()
@json_option
@click.pass_obj
def iterations(context: Context, as_json: bool) -> None:
    """List the iterations of all methods."""
    from hooktune.cli import rows as report
    from hooktune.cli.tables import json_text, print_table

    found = context.tracker().iterations()
    if as_json:
        click.echo(json_text([report.iteration_json(each) for each in found]))
    elif found:
        print_table(report.iterations_table(found))
    else:
        click.echo("There are no iterations yet. `hooktune demo` makes one.")


@cli.command()
@click.argument("iteration")
@json_option
@click.pass_obj
def runs(context: Context, iteration: str, as_json: bool) -> None:
    """List the runs of ITERATION, which is given by its whole name or by its batch id."""
    tracker = context.tracker()
    print_runs(tracker, _find_iteration(tracker, iteration), as_json)


@cli.command()
@click.argument("method", required=False)
@json_option
@click.pass_obj
def best(context: Context, method: str | None, as_json: bool) -> None:
    """Show the best model of METHOD, or of each method: what its next iteration starts from."""
    from hooktune.cli import rows as report
    from hooktune.cli.tables import json_text, print_table

    tracker = context.tracker()
    known = sorted({each.name.method for each in tracker.iterations()})
    if method is not None and method not in known:
        raise RequestError(f"{method!r} has no iteration yet. {did_you_mean(method, known)}")
    winners = [tracker.starting_model(name) for name in known if method in (None, name)]
    rows = [report.run_json(each, tracker.has_model(each)) for each in winners if each]
    if as_json:
        click.echo(json_text(rows))
    elif rows:
        print_table(report.best_table([each for each in winners if each]))
    else:
        click.echo("There are no iterations yet. `hooktune demo` makes one.")


@cli.command()
@click.argument("batch", metavar="BATCH_ID|DIR")
@click.option("--plot", metavar="FILE.png", type=PATH, help="Draw it too.")
@json_option
@click.pass_obj
def compare(context: Context, /, batch: str, plot: Path | None, as_json: bool) -> None:
    """Show all methods that ran on a batch side by side, and which one is the best."""
    from hooktune.data.manifest import read_manifest
    from hooktune.evaluation import comparison
    from hooktune.naming import is_batch_id

    batch_id = batch if is_batch_id(batch) else read_manifest(Path(batch)).batch_id
    compared = comparison.compare(context.tracker(), batch_id)
    if plot is not None:
        comparison.plot_comparison(compared, plot)
    print_comparison(compared, as_json)


def print_comparison(comparison: "Comparison", as_json: bool) -> None:
    """Print the methods of a batch side by side."""
    from hooktune.cli import rows as report
    from hooktune.cli.tables import json_text, print_table

    if as_json:
        click.echo(json_text(report.comparison_json(comparison)))
        return
    click.echo(f"batch {comparison.batch_id}")
    print_table(report.comparison_table(comparison))
    click.echo("\n".join(report.comparison_remarks(comparison)))


def print_runs(
    tracker: "Tracker", iteration: "Iteration", as_json: bool, *, remarks: bool = True
) -> None:
    """Print the runs of an iteration, with or without what a reader must not miss."""
    from hooktune.cli import rows as report
    from hooktune.cli.tables import json_text, print_table

    found = tracker.runs(iteration)
    if as_json:
        with_model = tracker.runs_with_model(iteration)
        listed = [report.run_json(each, each.run_id in with_model) for each in found]
        click.echo(json_text({**report.iteration_json(iteration), "runs": listed}))
        return
    click.echo(printable(str(iteration.name)))
    print_table(report.runs_table(iteration, found))
    for line in report.remarks(iteration, found) if remarks else []:
        click.echo(line)


def _find_iteration(tracker: "Tracker", wanted: str) -> "Iteration":
    known = tracker.iterations()
    found = [each for each in known if wanted in (str(each.name), each.name.batch_id)]
    if len(found) == 1:
        return found[0]
    if found:
        names = "; ".join(str(each.name) for each in found)
        raise RequestError(f"{wanted!r} names several iterations: {names}. Give a whole name.")
    all_names = [str(each.name) for each in known]
    raise RequestError(f"There is no iteration {wanted!r}. {did_you_mean(wanted, all_names)}")
