"""`hooktune run`."""

import logging
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import click

from hooktune.cli.group import PATH, Context, cli, json_option
from hooktune.cli.launching import launch
from hooktune.cli.results import print_outcomes, print_result, print_stored
from hooktune.cli.settings import CommandWithSettings
from hooktune.cli.workers import Workers, begin_work, is_worker, run_workers, worker_options
from hooktune.errors import FailedAloneError, HooktuneError, RequestError
from hooktune.progress import phase

if TYPE_CHECKING:
    from hooktune.iteration.request import RunOptions

ALL_METHODS = "all"


@cli.command(cls=CommandWithSettings)
@click.argument("methods", metavar="METHOD...", nargs=-1)
@click.argument("address", metavar="DIR")
@click.option("--max-runs", type=int, help="Sets of hyper-parameters at most.  [default: 4]")
@click.option(
    "--from",
    "start",
    metavar="initial|last|RUN_ID",
    help="The model to tune.  [default: last, the best one of the last finished iteration]",
)
@click.option(
    "--search",
    metavar="NAME",
    help="Who chooses hyper-parameters: warm, random, grid, sobol, tpe, gp, or that of a plugin.  "
    "[default: warm]",
)
@click.option(
    "--prune",
    type=click.Choice(["none", "queries", "median"]),
    help="Stop a run that falls behind: by the test queries, or the median of the others.  "
    "[default: none]",
)
@click.option("--budget", metavar="TIME", help="Begin no run after so long, such as 90m or 2h.")
@click.option("--patience", type=int, metavar="N", help="Stop after N runs without a better one.")
@click.option("--param", "params", metavar="K=V", multiple=True, help="Fix a hyper-parameter.")
@click.option("--initial-model", metavar="PATH|NAME", help="What to start from, the first time.")
@click.option(
    "--embeddings",
    type=PATH,
    metavar="DIR",
    help="Keep the starting model's embeddings in a folder, for later iterations.",
)
@click.option("--device", help="A torch device.  [default: the best one there is]")
@click.option(
    "--devices", type=click.IntRange(min=1), default=1, help="Train on so many devices at once."
)
@click.option(
    "--checkpoint-every",
    type=float,
    metavar="SECONDS",
    help="How often a run keeps its state, to be gone on with if it dies.  [default: 300]",
)
@worker_options
@click.option("--dry-run", is_flag=True, help="Tell what would be done and take; store nothing.")
@json_option
@click.pass_obj
def run(
    context: Context,
    /,
    methods: tuple[str, ...],
    address: str,
    max_runs: int | None,
    params: Sequence[str],
    devices: int,
    workers: Workers,
    dry_run: bool,
    as_json: bool,
    **choices: Any,
) -> None:
    """Run methods on a batch, and keep the best model.

    DIR is the folder of a released batch, or its address in an object store. METHOD is the display
    name of an installed method or the path of a Python file that holds one.
    Several are run one after the other and then compared; `all` stands for all that are installed.
    """
    if not methods:
        raise click.UsageError(f"Name a METHOD and a DIR; only {address!r} is named.")
    from hooktune.data.manifest import read_manifest
    from hooktune.data.remote_batch import batch_at
    from hooktune.iteration.request import make_request
    from hooktune.plugin.choice import PluginChoice

    given = {name: value for name, value in choices.items() if value is not None}
    if max_runs is not None:
        given["max_runs"] = max_runs
    given["params"] = _pairs(params)
    # A wrong request is not to wait for the imports of all that follows.
    request = make_request(cast("RunOptions", given))
    names = None if methods == (ALL_METHODS,) else methods
    plugins = PluginChoice(context.block, only=None, given=())
    if names is not None:
        plugins.check_names(names)
    folder = click.get_current_context().with_resource(batch_at(address))
    manifest = read_manifest(folder)
    if dry_run:
        from hooktune.cli.forecast import print_forecasts

        print_forecasts(context.tracker(), plugins, names, folder, request, workers.count, as_json)
        return
    if is_worker():
        begin_work(context, names)
    if workers.are_wanted:
        began = time.time()
        if status := run_workers(context, workers, names, request.max_runs):
            raise SystemExit(status)
        print_stored(context.runner(), plugins, names, manifest.batch_id, began, as_json)
        return
    with phase("loading torch and the libraries built on it"):
        from hooktune.iteration.methods import usable_device
        from hooktune.training.process_group import is_launched, join_process_group

    if devices > 1 and not is_launched():
        usable_device(choices.get("device"))
        raise SystemExit(launch(context.arguments, devices, context.tracking_uri))
    group = join_process_group(choices.get("device"))
    runner = context.runner(group)
    if not group.leads:
        # What there is to say, the leading process says.
        logging.getLogger("hooktune").setLevel(logging.CRITICAL)
    several = names is None or len(names) > 1
    try:
        if several:
            outcomes = runner.run_all(names, folder, **given)
        else:
            result = runner.run(methods[0], folder, **given)
    except HooktuneError as error:
        if group.leads or isinstance(error, FailedAloneError):
            raise
        return
    if not group.leads or is_worker():
        return
    if several:
        print_outcomes(runner, outcomes, as_json)
    else:
        print_result(runner.tracker, result, as_json)


def _pairs(params: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for text in params:
        name, separator, value = text.partition("=")
        if not name or not separator:
            raise RequestError(f"{text!r} is no hyper-parameter. Write it as NAME=VALUE.")
        pairs[name.strip()] = value
    return pairs
