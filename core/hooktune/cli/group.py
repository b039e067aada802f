"""The command `hooktune` itself, and the options that stand before all others."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hooktune._version import __version__
from hooktune.cli.terminal import command_name, talking

if TYPE_CHECKING:
    from hooktune.iteration.runner import Runner
    from hooktune.tracking import Tracker
    from hooktune.training.process_group import ProcessGroup

PATH = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@dataclass(frozen=True)
class Context:
    """What the options before the command say."""

    tracking_uri: str | None
    block: tuple[str, ...]
    spool: Path | None
    arguments: tuple[str, ...]
    """The whole command line, but for the store."""
    verbose: bool = False

    @property
    def command(self) -> str:
        """How to call the program again with the same store."""
        from hooktune.tracking.store_address import without_password

        given = self.tracking_uri and without_password(self.tracking_uri)
        return f"{command_name()} --tracking-uri {shlex.quote(given)}" if given else command_name()

    def tracker(self) -> "Tracker":
        """Return the tracking store; nothing is opened yet."""
        from hooktune.tracking import Tracker

        return Tracker(self.tracking_uri, self.spool)

    def runner(self, group: "ProcessGroup | None" = None) -> "Runner":
        """Return the object for the store and the plugins; nothing is opened yet.

        Args:
            group: The processes that train together.
        """
        from hooktune.iteration.runner import Runner

        return Runner(self.tracking_uri, block=self.block, spool=self.spool, group=group)


def without_option(name: str, arguments: Sequence[str]) -> tuple[str, ...]:
    """Return a command line without an option that takes a value, and without that value."""
    left = iter(arguments)
    kept = []
    for argument in left:
        if argument == name:
            next(left, None)
        elif not argument.startswith(f"{name}="):
            kept.append(argument)
    return tuple(kept)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
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
@click.option(
    "--spool",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to keep what cannot be brought to a store that is away. Otherwise HOOKTUNE_SPOOL "
    "or hooktune-spool in the working folder.",
)
@click.option("-v", "--verbose", is_flag=True, help="Tell more, and show tracebacks.")
@click.option("-q", "--quiet", is_flag=True, help="Print results alone, and what went wrong.")
@click.pass_context
def cli(
    context: click.Context,
    tracking_uri: str | None,
    block: tuple[str, ...],
    spool: Path | None,
    verbose: bool,
    quiet: bool,
) -> None:
    """Fine-tune embedding models on clickstream with plugins, and keep the best model.

    Without a command it says where one stands, and what to do next.
    """
    context.with_resource(talking(verbose=verbose, quiet=quiet))
    arguments = without_option("--tracking-uri", context.obj or ())
    context.obj = Context(tracking_uri, block, spool, arguments, verbose)
    if context.invoked_subcommand is None:
        from hooktune.cli.overview import overview

        click.echo("\n".join(overview(context.obj.tracker(), context.obj.command)))
