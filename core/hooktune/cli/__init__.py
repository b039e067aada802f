"""The command line. It alone prints; what it prints of the store is also there as JSON."""

import atexit
import gc
import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from hooktune.cli import (
    batch_tools,
    batches,
    comparison,
    demo,
    follow,
    listings,
    models,
    params,
    plugins,
    running,
    server,
)
from hooktune.cli.group import cli
from hooktune.cli.terminal import be_quiet_elsewhere, explain, interrupt, say
from hooktune.plain_text import without_secrets

__all__ = [
    "batch_tools",
    "batches",
    "cli",
    "comparison",
    "demo",
    "follow",
    "listings",
    "main",
    "models",
    "params",
    "plugins",
    "running",
    "server",
]

INTERRUPTED: Final = 130

_FULL_COLLECTIONS_EVERY: Final = 1_000
"""Collections of younger objects; 10 is Python's own."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line, and end with its exit status: 0 done, 1 failed, 2 a wrong request."""
    be_quiet_elsewhere()
    _spare_what_stays()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        cli.main(
            args=list(arguments), prog_name="hooktune", standalone_mode=False, obj=[*arguments]
        )
        status = 0
    except click.ClickException as error:
        shown = io.StringIO()
        error.show(shown)
        click.echo(without_secrets(shown.getvalue()), err=True, nl=False)
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("Interrupted. What was tracked until now stays.")
        status = INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    except Exception as error:
        status = explain(error, verbose=logging.getLogger("hooktune").level <= logging.DEBUG)
    sys.exit(status)


def _spare_what_stays() -> None:
    """Let the garbage collector not look again and again at what is there until the end.

    The libraries below make some 700,000 objects. To look at all of them takes seconds of each
    command, while they are imported and when the interpreter ends.
    """
    gc.set_threshold(*gc.get_threshold()[:2], _FULL_COLLECTIONS_EVERY)
    atexit.register(gc.freeze)
