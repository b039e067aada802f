"""The command line's dealings with its terminal and its process: messages, signals, exit status."""

import logging
import os
import signal
import sys
import traceback
from typing import Any, Final, NoReturn

import click

from hooktune.errors import HooktuneError, in_words
from hooktune.plain_text import printable, printable_lines

_LINE: Final = 4000


def explain(error: Exception, *, verbose: bool) -> int:
    """Say what went wrong, with its traceback if asked for; return the exit status."""
    if verbose:
        for line in "".join(traceback.format_exception(error)).splitlines():
            say(line)
    if isinstance(error, HooktuneError):
        say(f"Error: {error}")
        return error.exit_status
    say(f"Error: {in_words(error).splitlines()[0]}")
    if not verbose:
        say("`hooktune -v ...` shows where it happened.")
    return 1


def say(message: str) -> None:
    """Print a message of one line to standard error, whatever texts of other people it quotes."""
    click.echo(printable(message, _LINE), err=True)


class _OneLineFormatter(logging.Formatter):
    """Keeps what is logged from passing for a line of its own, or for a terminal's command."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return printable(super().formatMessage(record), _LINE)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        return printable_lines(super().formatException(ei))


def set_up_logging(verbose: bool) -> None:
    """Show what hooktune logs, and of the libraries underneath only their warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLineFormatter("%(message)s"))
    logger = logging.getLogger("hooktune")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.INFO if verbose else logging.WARNING)
    # It logs the traceback of an error of the database that it raises as well.
    logging.getLogger("mlflow.store.db").setLevel(logging.NOTSET if verbose else logging.CRITICAL)


def be_quiet_elsewhere() -> None:
    """Keep the libraries underneath from talking, and from telling anybody what is done here."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")


def interrupt(*_: object) -> NoReturn:
    """Treat being told to end like Ctrl-C, so that the run at work is recorded as KILLED.

    A launcher tells a process to end that Ctrl-C has reached already; that is not to break off what
    it does to end well.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
