"""`hooktune batch`: release a log, and look at what was released."""

from pathlib import Path

import click

from hooktune.cli.group import PATH, cli, json_option
from hooktune.cli.terminal import say


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
    from hooktune.data.assembly import describe_set_aside
    from hooktune.data.release import release_batch

    manifest = release_batch(log, items, to, text=text)
    if manifest.set_aside:
        say(f"set aside: {describe_set_aside(manifest.set_aside)}")
    click.echo(manifest.batch_id)


@batch.command("show")
@click.argument("folder", type=PATH)
@json_option
def batch_show(folder: Path, as_json: bool) -> None:
    """Show what is in the batch in FOLDER, after checking that it is as it was released."""
    from hooktune.cli import rows as report
    from hooktune.cli.tables import json_text
    from hooktune.data.release import open_batch, read_manifest

    open_batch(folder)
    manifest = read_manifest(folder)
    if as_json:
        click.echo(json_text(manifest.model_dump(mode="json")))
    else:
        click.echo("\n".join(report.batch_lines(manifest)))
