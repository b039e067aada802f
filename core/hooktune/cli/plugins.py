"""`hooktune plugins` and `hooktune new`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hooktune.cli.group import PATH, Context, cli, json_option
from hooktune.cli.tables import Column, Table, json_text, print_table
from hooktune.errors import HooktuneError

if TYPE_CHECKING:
    from hooktune.plugin.catalogue import Catalogue
    from hooktune.plugin.isolation import PluginVerdict

_ENTRY_COLUMNS: Final = (
    Column("kind", 3), Column("name", is_prose=True), Column("distribution"), Column("version", 5),
    Column("status", 8),
)  # fmt: skip


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
    """List the installed plugins.

    None of them is imported. With --check, the exit status is 1 when a plugin cannot be used.
    """
    from hooktune.plugin.catalogue import read_catalogue

    catalogue = read_catalogue(context.block)
    if check:
        _check_plugins(catalogue, timeout, as_json)
    elif as_json:
        click.echo(json_text([asdict(entry) for entry in catalogue.entries]))
    else:
        print_table(plugins_table(catalogue))


@cli.command()
@click.argument("name")
@click.option(
    "--to", default=".", type=PATH, help="Where to make the folder.  [default: the working folder]"
)
def new(name: str, to: Path) -> None:
    """Write a package with a method, to start from.

    The method is called NAME.
    """
    from hooktune.plugin.scaffold import write_package

    folder = write_package(name, to)
    click.echo(f"{folder} holds the method {name!r}. README.md in it says what to do next.")


def _check_plugins(catalogue: "Catalogue", timeout: float | None, as_json: bool) -> None:
    from hooktune.plugin.isolation import check_plugins

    verdicts = check_plugins(catalogue.entries, timeout)
    if as_json:
        click.echo(json_text([verdict_json(verdict) for verdict in verdicts]))
    else:
        print_table(verdicts_table(verdicts))
    faulty = [verdict for verdict in verdicts if verdict.status in ("failed", "refused")]
    if faulty:
        names = ", ".join(f"{verdict.entry.name!r}" for verdict in faulty)
        raise HooktuneError(f"{len(faulty)} of {len(verdicts)} plugins cannot be used: {names}.")


def plugins_table(catalogue: "Catalogue") -> Table:
    """Lay out what is installed, a line each."""
    return Table(
        (*_ENTRY_COLUMNS, Column("reason", 8, is_prose=True)),
        [
            (entry.kind, entry.name, entry.distribution, entry.version, entry.status, entry.reason)
            for entry in catalogue.entries
        ],
    )


def verdict_json(verdict: "PluginVerdict") -> dict[str, Any]:
    """Return what the check of a plugin came to as JSON values."""
    return asdict(verdict.entry) | {
        "status": verdict.status,
        "reason": verdict.reason,
        "hooks": list(verdict.hooks),
        "wraps": list(verdict.wraps),
    }


def verdicts_table(verdicts: "Sequence[PluginVerdict]") -> Table:
    """Lay out what the check of each plugin came to."""
    rows = [
        (
            verdict.entry.kind, verdict.entry.name, verdict.entry.distribution,
            verdict.entry.version, verdict.status,
            ", ".join([*verdict.hooks, *(f"around {hook}" for hook in verdict.wraps)]),
            verdict.reason,
        )
        for verdict in verdicts
    ]  # fmt: skip
    hooks = Column("hooks", 4, is_prose=True)
    return Table((*_ENTRY_COLUMNS, hooks, Column("reason", 8, is_prose=True)), rows)
