"""The models of the store: copy one out, and hand the best one over."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hooktune.cli.group import PATH, Context, cli
from hooktune.cli.tables import LINE, cell
from hooktune.errors import RequestError, did_you_mean
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.evaluation.contest import Requirement
    from hooktune.evaluation.promotion import Promotion
    from hooktune.iteration.runner import Runner


@cli.command()
@click.argument("run_id")
@click.argument("folder", metavar="DIR", type=PATH)
@click.pass_obj
def export(context: Context, run_id: str, folder: Path) -> None:
    """Copy the model of a run into a folder.

    DIR is made, as a plain folder of sentence-transformers. Of RUN_ID the beginning is enough.
    """
    context.runner().export(run_id, folder)
    # sentence-transformers takes the classes of a model in parts for foreign code.
    has_own = "hooktune.parts" in (folder / "modules.json").read_text(encoding="utf-8")
    trust = ", trust_remote_code=True" if has_own else ""
    click.echo(f"{folder} can be loaded with SentenceTransformer({str(folder)!r}{trust}).")


@cli.command()
@click.argument("wanted", metavar="RUN_ID|ITERATION")
@click.argument("file", metavar="FILE.html", type=PATH)
@click.pass_obj
def report(context: Context, wanted: str, file: Path) -> None:
    """Write the report of a run, for people who decide.

    It is one page of HTML that needs no network. An ITERATION, by its whole name or the beginning
    of its batch id, stands for its best run.
    """
    write_page(file, context.runner().report(wanted))
    click.echo(f"The report is in {file}: open it in a browser.")


def write_page(file: Path, content: str) -> None:
    """Write a report.

    Raises:
        RequestError: The file cannot be written.
    """
    try:
        file.write_text(content, encoding="utf-8")
    except OSError as error:
        raise RequestError(
            f"The report {file} cannot be written: {error.strerror}. Name another file."
        ) from error


@cli.command()
@click.argument("method", required=False)
@click.option("--batch", "folder", type=PATH, help="A released batch to measure both models on.")
@click.option(
    "--require",
    type=click.Choice(["better", "not-worse"]),
    help="What its interval has to say.  [default: better; not-worse for the first]",
)
@click.option("--force", is_flag=True, help="Promote it whatever the comparison says.")
@click.option("--device", help="A torch device.  [default: the best one there is]")
@click.pass_obj
def promote(
    context: Context,
    /,
    method: str | None,
    folder: Path | None,
    require: "Requirement | None",
    force: bool,
    device: str | None,
) -> None:
    """Make a method's best model its champion.

    It is registered in MLflow, if it is better than the present champion on the same queries,
    beyond what chance may have done. METHOD may be left out where there is only one. The exit
    status is 1 when the champion stays.
    """
    runner = context.runner()
    method = _only_method(runner) if method is None else method
    promotion = runner.promote(method, folder, require=require, force=force, device=device)
    click.echo("\n".join(promotion_lines(promotion)))


@cli.command()
@click.argument("method", required=False)
@click.pass_obj
def rollback(context: Context, method: str | None) -> None:
    """Make the previous champion the champion again.

    METHOD may be left out where there is only one.
    """
    runner = context.runner()
    before, now = runner.roll_back(_only_method(runner) if method is None else method)
    click.echo(
        printable(
            f"Version {now.number} of {now.model} is the champion again; version {before.number} "
            "stays registered."
        )
    )


def _only_method(runner: "Runner") -> str:
    known = sorted({iteration.name.method for iteration in runner.iterations()})
    if len(known) == 1:
        return known[0]
    if not known:
        raise RequestError("There are no iterations yet. `hooktune demo` makes one.")
    raise RequestError(f"Name the method. {did_you_mean('', known)}")


def promotion_lines(promotion: "Promotion") -> list[str]:
    """Say which model is the champion now, what it was compared with, and where it is found."""
    champion, run, contest = promotion.champion, promotion.run, promotion.contest
    version = f"version {champion.number} of {champion.model}"
    if not promotion.is_new:
        return [printable(f"The model of run {run.run_id} is the champion already, {version}.")]
    lines = [f"The model of run {run.run_id} is the champion now, {version}."]
    if contest is not None:
        lines.append(f"Compared with {contest.rival.rstrip(',')} on {contest.sessions}:")
        for name in contest.metrics:
            before, value = contest.present.get(name), contest.candidate.get(name)
            change = f", {contest.intervals[name]}" if name in contest.intervals else ""
            lines.append(f"  {name}: {cell(value)}, before {cell(before)}{change}")
    lines.append(f"Stock MLflow loads it: models:/{champion.model}@champion")
    return [printable(line, LINE) for line in lines]
