"""The command line's dealings with its terminal and its process: messages, signals, exit status."""

import logging
import os
import shlex
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import click

from hooktune.errors import HooktuneError, in_words, one_line
from hooktune.iteration.progress_display import Bars, Lines
from hooktune.plain_text import printable, printable_lines
from hooktune.progress import listening

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
    click.echo(printable(one_line(message), _LINE), err=True)


class _OneLineFormatter(logging.Formatter):
    """Keeps what is logged from passing for a line of its own, or for a terminal's command."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        return printable(one_line(super().formatMessage(record)), _LINE)

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's own name
        return printable_lines(super().formatException(ei))


class _MessageHandler(logging.Handler):
    """Writes what is logged to standard error, above the bars that are there."""

    def __init__(self, bars: Bars) -> None:
        super().__init__()
        self._bars = bars

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        if not self._bars.print_above(line):
            click.echo(line, err=True)


@contextmanager
def talking(*, verbose: bool, quiet: bool) -> Iterator[None]:
    """Show what hooktune logs and how far its work has come, on standard error.

    Args:
        verbose: Show what the libraries underneath say, too.
        quiet: Show warnings and errors alone.
    """
    if not verbose:
        # Read when the libraries are imported, which is later. They draw bars of their own.
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    bars = Bars()
    _set_up_logging(bars, verbose, quiet)
    is_leading = os.environ.get("RANK", "0") == "0"  # of the processes that train together
    if quiet or not is_leading:
        yield
        return
    shown = bars if sys.stderr.isatty() else Lines(say)
    try:
        with listening(shown):
            yield
    finally:
        shown.close()


def _set_up_logging(bars: Bars, verbose: bool, quiet: bool) -> None:
    handler = _MessageHandler(bars)
    handler.setFormatter(_OneLineFormatter("%(message)s"))
    logger = logging.getLogger("hooktune")
    logger.handlers = [handler]
    logger.propagate = False
    told = logging.WARNING if quiet else logging.INFO
    logger.setLevel(logging.DEBUG if verbose else told)
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


def command_name() -> str:
    """Return how to call the program again: by its name, or by its path where that is needed."""
    called = Path(sys.argv[0])
    found = shutil.which("hooktune")
    if called.name != "hooktune" or (found and called.exists() and called.samefile(found)):
        return "hooktune"
    return shlex.quote(str(called))


def interrupt(*_: object) -> NoReturn:
    """Treat being told to end like Ctrl-C, so that the run at work is recorded as KILLED.

    A launcher tells a process to end that Ctrl-C has reached already; that is not to break off what
    it does to end well.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise KeyboardInterrupt
