"""`hooktune follow`."""

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click

from hooktune.cli.group import Context, cli, json_option
from hooktune.cli.tables import Column, Table, json_text, print_table
from hooktune.errors import RequestError
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.iteration.runs_at_work import RunAtWork
    from hooktune.tracking import Iteration, Tracker

_EVERY: Final = 2.0  # seconds
_IDLE_LOOKS: Final = 5
"""After how many looks without a run at work all is taken to be over: one may be about to begin."""


@cli.command()
@click.argument("iteration", required=False)
@json_option
@click.pass_obj
def follow(context: Context, iteration: str | None, as_json: bool) -> None:
    """Show how far the runs of an iteration have come.

    ITERATION is its whole name, or the beginning of its batch id; without it, that with a run at
    work. In a terminal what is shown is renewed until no run is at work.
    """
    tracker = context.tracker()
    chosen = _chosen(tracker, iteration)
    if as_json or not sys.stdout.isatty():
        _print_once(tracker, chosen, as_json)
        return
    _keep_showing(tracker, chosen)


def _chosen(tracker: "Tracker", wanted: str | None) -> "Iteration":
    from hooktune.iteration.lookup import find_iteration
    from hooktune.iteration.runs_at_work import iteration_at_work

    if wanted is not None:
        return find_iteration(tracker.iterations(), wanted)
    chosen = iteration_at_work(tracker)
    if chosen is None:
        raise RequestError("There is no iteration yet. `hooktune run METHOD DIR` begins one.")
    return chosen


def _print_once(tracker: "Tracker", iteration: "Iteration", as_json: bool) -> None:
    from hooktune.iteration.runs_at_work import runs_at_work

    runs = runs_at_work(tracker, iteration, time.time())
    if as_json:
        listed = [run.as_json() for run in runs]
        click.echo(json_text({"name": str(iteration.name), "runs": listed}))
        return
    click.echo(printable(str(iteration.name)))
    print_table(progress_table(runs))


def _keep_showing(tracker: "Tracker", iteration: "Iteration") -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from hooktune.iteration.runs_at_work import runs_at_work

    console, idle = Console(), 0
    with Live(console=console, auto_refresh=False) as live:
        while idle < _IDLE_LOOKS:
            runs = runs_at_work(tracker, iteration, time.time())
            table = progress_table(runs).render(console.width)
            live.update(Text(f"{printable(str(iteration.name))}\n{table}"), refresh=True)
            idle = 0 if any(run.status == "RUNNING" for run in runs) else idle + 1
            time.sleep(_EVERY)


def progress_table(runs: Sequence["RunAtWork"]) -> Table:
    """Lay out how far runs have come, a line each."""
    columns = (
        Column("hyper-parameters", 5, is_prose=True), Column("status"), Column("step"),
        Column("loss"), Column("time"), Column("left"), Column("by", 4, is_prose=True),
        Column("run id", 6),
    )  # fmt: skip
    rows = [
        (
            run.name, run.status, _steps(run), run.loss, duration(run.seconds),
            None if run.seconds_left is None else duration(run.seconds_left), run.worker,
            run.run_id,
        )
        for run in runs
    ]  # fmt: skip
    return Table(columns, rows)


def duration(seconds: float) -> str:
    """Write a time as people do: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if minutes else f"{rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _steps(run: "RunAtWork") -> str | None:
    if run.step is None:
        return None
    return f"{run.step} of {run.steps}" if run.steps else str(run.step)
