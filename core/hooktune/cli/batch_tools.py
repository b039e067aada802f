"""`hooktune batch`: what can be made of released batches."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hooktune.cli.batch_lines import LINE
from hooktune.cli.batches import batch
from hooktune.cli.group import PATH, json_option
from hooktune.cli.terminal import say
from hooktune.plain_text import printable

if TYPE_CHECKING:
    from hooktune.data.manifest import BatchManifest


@batch.command("export")
@click.argument("folder", type=PATH)
@click.option("--to", type=PATH, required=True, help="The folder to make.")
def batch_export(folder: Path, to: Path) -> None:
    """Write a batch in BEIR's form, for other tools.

    Its items, queries and clicks become corpus.jsonl, queries.jsonl and qrels/test.tsv. Prints the
    folder that was made.
    """
    from hooktune.data.beir import export_beir
    from hooktune.data.release import open_batch

    click.echo(export_beir(open_batch(folder), to))


@batch.command("merge")
@click.argument("folders", metavar="DIR...", nargs=-1, type=PATH, required=True)
@click.option("--to", type=PATH, required=True, help="The batch folder to make.")
def batch_merge(folders: tuple[Path, ...], to: Path) -> None:
    """Make one batch of several.

    A session that stands in several of them comes once. Prints the new batch's id.
    """
    from hooktune.data.growing import merge_batches

    _tell(merge_batches(folders, to))


@batch.command("sample")
@click.argument("folder", metavar="DIR", type=PATH)
@click.option(
    "--queries", type=click.IntRange(min=1), required=True, help="How many queries to draw."
)
@click.option("--to", type=PATH, required=True, help="The batch folder to make.")
@click.option("--seed", default=0, show_default=True, help="The seed of the draw.")
def batch_sample(folder: Path, queries: int, to: Path, seed: int) -> None:
    """Make a batch of some queries of another.

    They are drawn by their frequency, and come with all of their sessions. Prints the new batch's
    id.
    """
    from hooktune.data.growing import sample_batch

    _tell(sample_batch(folder, to, queries, seed))


@batch.command("diff")
@click.argument("first", metavar="DIR", type=PATH)
@click.argument("second", metavar="DIR", type=PATH)
@json_option
def batch_diff(first: Path, second: Path, as_json: bool) -> None:
    """Show in what a batch differs from an earlier one.

    Told are queries and items that came and went, and rates of clicks that shifted.
    """
    from hooktune.cli.tables import json_text
    from hooktune.data.difference import compare_batches

    found = compare_batches(first, second)
    if as_json:
        click.echo(json_text(found.model_dump(mode="json")))
    else:
        click.echo("\n".join(printable(line, LINE) for line in found.in_words))


def _tell(manifest: "BatchManifest") -> None:
    counts = manifest.counts
    say(f"{counts.sessions} sessions of {counts.queries} queries, {counts.items} items")
    click.echo(manifest.batch_id)
