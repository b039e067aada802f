"""`hooktune plugins` and `hooktune new`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hooktune.cli.group import PATH, Context, cli, json_option
from hooktune.errors import HooktuneError

if TYPE_CHECKING:
    from hooktune.plugin.catalogue import Catalogue


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

    from hooktune.cli import rows as report
    from hooktune.cli.tables import json_text, print_table
    from hooktune.plugin.catalogue import read_catalogue

    catalogue = read_catalogue(context.block)
    if check:
        _check_plugins(catalogue, timeout, as_json)
    elif as_json:
        click.echo(json_text([asdict(entry) for entry in catalogue.entries]))
    else:
        print_table(report.plugins_table(catalogue))


@cli.command()
@click.argument("name")
@click.option(
    "--to", default=".", type=PATH, help="Where to make the folder.  [default: the working folder]"
)
def new(name: str, to: Path) -> None:
    """Write a package with a method called NAME, to start from."""
    from hooktune.plugin.scaffold import write_package

    folder = write_package(name, to)
    click.echo(f"{folder} holds the method {name!r}. README.md in it says what to do next.")


def _check_plugins(catalogue: "Catalogue", timeout: float | None, as_json: bool) -> None:
    from hooktune.cli import rows as report
    from hooktune.cli.tables import json_text, print_table
    from hooktune.plugin.isolation import check_plugins

    verdicts = check_plugins(catalogue.entries, timeout)
    if as_json:
        click.echo(json_text([report.verdict_json(each) for each in verdicts]))
    else:
        print_table(report.verdicts_table(verdicts))
    faulty = [each for each in verdicts if each.status in ("failed", "refused")]
    if faulty:
        names = ", ".join(f"{each.entry.name!r}" for each in faulty)
        raise HooktuneError(f"{len(faulty)} of {len(verdicts)} plugins cannot be used: {names}.")
