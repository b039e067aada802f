"""The readers of logs: which one is meant, and calling it so that each failure finds its plugin."""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import pluggy

from hooktune.contract import hooks as hookspecs
from hooktune.contract.hooks import PROJECT_NAME
from hooktune.contract.log_source import Findings, LogSource
from hooktune.contract.long_form import LogPart
from hooktune.errors import HooktuneError, PluginError, PluginRequestError, RequestError
from hooktune.plain_text import kind_of
from hooktune.plugin.catalogue import read_catalogue
from hooktune.plugin.checks import Plugin, implementations, imported_plugin
from hooktune.plugin.guard import broken_contract, failure_in, guarded

logger = logging.getLogger(__name__)

DEFAULT_FORMAT: Final = "embedding-studio"
"""The format that a log is taken for where no reader recognises it."""


@dataclass(frozen=True, eq=False)
class LogReader:
    """The reader of one format."""

    plugin: Plugin
    why: str = ""
    """By what the log was recognised; empty where a user named the format."""

    def recognise(self, source: LogSource) -> str | None:
        """Ask by what the log is known to be of this format; None where it is not.

        Raises:
            PluginError: The reader failed.
        """
        # What is met on the way is counted when the log is read, not now.
        looked_at = replace(source, findings=Findings(tolerated=1.0))
        return self._hooks().recognise_log(source=looked_at)  # type: ignore[no-any-return]

    def guess(self, source: LogSource) -> dict[str, str]:
        """Ask which columns of a log hold what.

        Raises:
            RequestError: The format has no columns that could be guessed.
            PluginError: The reader failed.
        """
        guessed = self._hooks().guess_columns(source=source)
        if guessed is None:
            raise RequestError(
                f"Logs of the format {self.plugin.name!r} have no columns to be guessed."
            )
        return guessed  # type: ignore[no-any-return]

    def read(self, source: LogSource) -> Iterator[LogPart]:
        """Read a log into the long form, part by part.

        Raises:
            DataError: The log cannot be used.
            PluginError: The reader failed, or gave something else.
        """
        parts = self._hooks().read_log(source=source)
        if not isinstance(parts, Iterable):
            raise self._broken(f"it returned {kind_of(parts)}, not parts of a log")
        try:
            for part in parts:
                if not isinstance(part, LogPart):
                    raise self._broken(f"it gave something {kind_of(part)}, not a LogPart")
                yield part
        except HooktuneError:
            raise
        except Exception as error:
            raise failure_in(self.plugin, "read_log", error) from error

    def _hooks(self) -> pluggy.HookRelay:
        manager = pluggy.PluginManager(PROJECT_NAME)
        manager.add_hookspecs(hookspecs)
        own = guarded(self.plugin, implementations(self.plugin))
        manager.register(own, name=self.plugin.name)
        return manager.hook

    def _broken(self, problem: str) -> PluginError:
        return broken_contract(self.plugin, "read_log", problem)


def choose_reader(source: LogSource, name: str | None, block: Iterable[str] = ()) -> LogReader:
    """Return the reader of a format, or the one that recognises a log.

    Args:
        source: The log.
        name: The format's name; None to ask all readers.
        block: Plugins that must not be imported.

    Raises:
        RequestError: There is no such format, or several readers take the log for theirs.
        PluginRequestError: The reader of that name cannot be used.
    """
    catalogue = read_catalogue(block)
    if name is not None:
        plugin = imported_plugin(catalogue.named("log reader", name))
        implementations(plugin)
        return LogReader(plugin)
    found = []
    for entry in catalogue.available("log reader"):
        try:
            reader = LogReader(imported_plugin(entry))
            why = reader.recognise(source)
        except (PluginRequestError, PluginError) as error:
            logger.warning("A log reader is left out. %s", error)
            continue
        if why is not None:
            found.append(LogReader(reader.plugin, why))
    if len(found) > 1:
        claims = ", and ".join(f"{each.plugin.name!r} because {each.why}" for each in found)
        raise RequestError(
            f"{source.files[0]} could be of several formats: {claims}. Name one by --format."
        )
    if found:
        return found[0]
    plugin = imported_plugin(catalogue.named("log reader", DEFAULT_FORMAT))
    return LogReader(plugin, "no reader recognises it and this is the default")
