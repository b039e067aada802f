"""`hooktune batch`: release a log, and look at what was released."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hooktune.cli.cleaning import cleaning_options
from hooktune.cli.group import PATH, Context, cli, json_option
from hooktune.cli.terminal import say
from hooktune.errors import RequestError

if TYPE_CHECKING:
    from hooktune.contract.event_weight import EventWeight
    from hooktune.data.cleaning_rules import CleaningRules
    from hooktune.data.manifest import Catalogue, Keepable


class Share(click.ParamType[float]):
    """A share such as `0.1%` or `0.001`."""

    name = "share"

    def convert(
        self, value: Any, param: click.Parameter | None, context: click.Context | None
    ) -> float:
        """Return the share as a number from 0 to 1."""
        text = str(value).strip()
        try:
            number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            number = -1.0
        if not 0 <= number < 1:
            self.fail(f"{text!r} is no share below 100%, such as 0.1%.", param, context)
        return number


SHARE: Final = Share()


def _stated_columns(
    context: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> dict[str, str]:
    """Return what was stated as `FIELD=NAME`."""
    stated = {}
    for value in values:
        field, equals, name = value.partition("=")
        if not (field and equals and name):
            raise click.BadParameter(f"{value!r} is not FIELD=NAME.", context, param)
        stated[field] = name
    return stated


def _stated_weights(
    context: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> "list[EventWeight]":
    """Return what was stated as `KIND=WEIGHT` or `KIND=WEIGHT@VALUE`."""
    from hooktune.contract.event_weight import EventWeight

    try:
        return [EventWeight.parse(value) for value in values]
    except RequestError as error:
        raise click.BadParameter(str(error), context, param) from None


@cli.group()
def batch() -> None:
    """Release a log as a batch, and look at one."""


@batch.command("release")
@click.argument("sources", metavar="LOG...", nargs=-1, required=True)
@click.option("--items", metavar="ITEMS", help="The items, as JSON lines or a table.  [required]")
@click.option(
    "--items-sql", metavar="QUERY", help="What to ask the database that ITEMS is the address of."
)
@click.option(
    "--catalogue",
    type=click.Choice(["shown", "all"]),
    default="shown",
    show_default=True,
    help="Keep the items that searches show, or all, to measure retrieval over everything.",
)
@click.option("--to", type=PATH, help="The batch folder to make.  [required]")
@click.option(
    "--format",
    "log_format",
    metavar="NAME",
    help="What LOG is: the name of a log reader, see `hooktune plugins`.  [default: recognised]",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=NAME",
    callback=_stated_columns,
    help="The column of a table that holds a field, such as query=search_term, or a field that "
    "holds a label. May be repeated.",
)
@click.option(
    "--guess",
    is_flag=True,
    help="Release nothing, and write LOG.toml beside LOG, with a guess of its columns to correct.",
)
@click.option("--sql", metavar="QUERY", help="What to ask the database that LOG is the address of.")
@click.option(
    "--text",
    default="{text}",
    show_default=True,
    metavar="TEMPLATE",
    help="How an item's text is made of its fields, such as '{title}. {text}'.",
)
@click.option(
    "--image",
    metavar="FIELD",
    help="The field of the items that holds an image: a path, an address, or bytes.",
)
@click.option(
    "--image-queries",
    is_flag=True,
    help="Take queries such as uploads/1.jpg, the name of an image, for the image.",
)
@click.option(
    "--click-event",
    "click_events",
    multiple=True,
    default=("click",),
    show_default=True,
    metavar="NAME",
    help="A kind of event that counts as a click. May be repeated.",
)
@click.option(
    "--event-weight",
    "event_weights",
    multiple=True,
    metavar="KIND=WEIGHT[@VALUE]",
    callback=_stated_weights,
    help="What an event is worth beside a click, such as purchase=5, or visit=2@30 for visits "
    "whose value, such as seconds, is at least 30. May be repeated.",
)
@click.option(
    "--tolerate",
    type=SHARE,
    default="0%",
    show_default=True,
    help="The share of lines that may be set aside because they cannot be used, such as 0.1%.",
)
@click.option(
    "--min-results",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How many results a session has at least.",
)
@click.option(
    "--keep",
    type=click.Choice(["times", "users"]),
    multiple=True,
    help="Keep when each search was, or a number for its user, to split by. May be repeated.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME",
    help="Keep a field of the log, such as market, so that runs are compared for each of its "
    "values. --column NAME=FIELD says that it is another field. May be repeated.",
)
@cleaning_options
@click.pass_obj
def batch_release(
    context: Context,
    sources: tuple[str, ...],
    items: str | None,
    items_sql: str | None,
    catalogue: "Catalogue",
    to: Path | None,
    log_format: str | None,
    columns: dict[str, str],
    guess: bool,
    sql: str | None,
    text: str,
    image: str | None,
    image_queries: bool,
    click_events: tuple[str, ...],
    event_weights: "list[EventWeight]",
    tolerate: float,
    min_results: int,
    keep: "tuple[Keepable, ...]",
    labels: tuple[str, ...],
    cleaning: "CleaningRules",
) -> None:
    """Check a log and write it as a batch.

    The sessions in LOG, which may be several files, patterns or addresses, are written with their
    items, and the batch never changes again. Prints its id.
    """
    from hooktune.data.assembly import describe_set_aside
    from hooktune.iteration.log_release import release_batch, write_guess

    if guess:
        path = write_guess(
            sources, format=log_format, columns=columns, sql=sql, block=context.block
        )
        click.echo(path)
        return
    if items is None or to is None:
        raise click.UsageError(f"Missing option '{'--to' if items else '--items'}'.")
    manifest = release_batch(
        sources,
        items,
        to,
        text=text,
        click_events=click_events,
        event_weights=event_weights,
        format=log_format,
        columns=columns,
        sql=sql,
        tolerate=tolerate,
        min_results=min_results,
        cleaning=cleaning,
        keep=keep,
        labels=labels,
        items_sql=items_sql,
        catalogue=catalogue,
        image=image,
        image_queries=image_queries,
        block=context.block,
    )
    if manifest.found:
        counts = (f"{finding.count} {finding.what}" for finding in manifest.found)
        say(f"found: {'; '.join(counts)}")
    if manifest.events:
        say(f"events: {', '.join(event.in_words for event in manifest.events)}")
    if manifest.set_aside:
        say(f"set aside: {describe_set_aside(manifest.set_aside)}")
    click.echo(manifest.batch_id)


@batch.command("show")
@click.argument("folder", type=PATH)
@json_option
def batch_show(folder: Path, as_json: bool) -> None:
    """Show what is in a batch.

    First it is checked that the folder is as it was released.
    """
    from hooktune.cli.batch_lines import batch_lines
    from hooktune.cli.tables import json_text
    from hooktune.data.manifest import read_manifest
    from hooktune.data.release import open_batch

    open_batch(folder)
    manifest = read_manifest(folder)
    if as_json:
        warning = {"warning": manifest.warning}
        click.echo(json_text(manifest.model_dump(mode="json") | warning))
    else:
        click.echo("\n".join(batch_lines(manifest)))
