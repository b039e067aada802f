"""What the store holds: iterations, runs, the best, and methods side by side."""

from typing import TYPE_CHECKING

import click

from hooktune.cli import rows
from hooktune.cli.group import Context, cli, json_option
from hooktune.cli.tables import json_text, print_table
from hooktune.errors import RequestError, did_you_mean
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.tracking import Iteration, Tracker


@cli.command()
@json_option
@click.pass_obj
def iterations(context: Context, as_json: bool) -> None:
    """List the iterations of all methods."""
    found = context.runner().iterations()
    if as_json:
        click.echo(json_text([rows.iteration_json(iteration) for iteration in found]))
    elif found:
        print_table(rows.iterations_table(found))
    else:
        click.echo("There are no iterations yet. `hooktune demo` makes one.")


@cli.command()
@click.argument("iteration")
@json_option
@click.pass_obj
def runs(context: Context, iteration: str, as_json: bool) -> None:
    """List the runs of an iteration.

    ITERATION is its whole name, or the beginning of its batch id.
    """
    from hooktune.iteration.lookup import find_iteration

    tracker = context.tracker()
    print_runs(tracker, find_iteration(tracker.iterations(), iteration), as_json)


@cli.command()
@click.argument("method", required=False)
@json_option
@click.pass_obj
def best(context: Context, method: str | None, as_json: bool) -> None:
    """Show the best model of each method.

    It is what the next iteration of the method starts from. With METHOD, only its own.
    """
    tracker = context.tracker()
    all_iterations = tracker.iterations()
    known = sorted({iteration.name.method for iteration in all_iterations})
    if method is not None and method not in known:
        raise RequestError(f"{method!r} has no iteration yet. {did_you_mean(method, known)}")
    models = [
        model
        for name in known
        if method in (None, name) and (model := rows.best_model(tracker, all_iterations, name))
    ]
    if as_json:
        listed = [
            rows.run_json(model.run, model.iteration, tracker.has_model(model.run))
            for model in models
        ]
        click.echo(json_text(listed))
    elif models:
        print_table(rows.best_table(models))
    else:
        click.echo("There are no iterations yet. `hooktune demo` makes one.")


def print_runs(
    tracker: "Tracker", iteration: "Iteration", as_json: bool, *, remarks: bool = True
) -> None:
    """Print the runs of an iteration, with or without what a reader must not miss."""
    found = tracker.runs(iteration)
    if as_json:
        with_model = tracker.runs_with_model(iteration)
        listed = [rows.run_json(run, iteration, run.run_id in with_model) for run in found]
        click.echo(json_text({**rows.iteration_json(iteration), "runs": listed}))
        return
    click.echo(printable(str(iteration.name)))
    print_table(rows.runs_table(iteration, found))
    for line in rows.remarks(iteration, found) if remarks else []:
        click.echo(line)
