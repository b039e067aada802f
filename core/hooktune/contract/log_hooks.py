"""The hooks of log readers, which are nobody else's."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hooktune.contract.hook_markers import hookspec

if TYPE_CHECKING:
    from hooktune.contract.log_source import LogSource
    from hooktune.contract.long_form import LogPart


@hookspec(firstresult=True)
def recognise_log(source: "LogSource") -> "str | None":
    """Tell whether a log is of the format that the plugin reads, and by what that is known.

    Called before `read_log` where the user names no format, for each reader that is installed. It
    should look at names and at `source.head()`, and not read the whole log.

    Args:
        source: The log's files, and what the user stated about them.

    Returns:
        A few words that end "because", such as `its first line has a "query_id"`; None where the
        log is of another format, or cannot be read.

    Since 0.1. Implemented by a log reader that can tell.
    """


@hookspec(firstresult=True)
def guess_columns(source: "LogSource") -> dict[str, str]:  # type: ignore[empty-body]
    """Guess which columns of a log hold what, so that a user need only correct it.

    Called by `hooktune batch release --guess`, which writes the guess beside the log.

    Args:
        source: The log's files, and what the user stated about them.

    Returns:
        For each field, such as `query`, the name of a column; an empty text for a field of which
        none is known.

    Since 0.1. Implemented by a log reader whose logs have columns of any name.
    """


@hookspec(firstresult=True)
def read_log(source: "LogSource") -> "Iterable[LogPart]":  # type: ignore[empty-body]
    """Read a log into the long form: what was shown, and what happened.

    Called once for each release of a batch. The parts are asked for one after the other, so that a
    generator never needs to hold the whole log.

    Args:
        source: The log's files, what the user stated about them, and `source.findings`, which takes
            what is counted and what is set aside.

    Returns:
        The parts, in any order. The reader raises a `DataError` that names file and line for what
        it cannot use, by `source.findings.set_aside` where a user may tolerate it.

    Since 0.1. Implemented by a log reader; required.
    """
