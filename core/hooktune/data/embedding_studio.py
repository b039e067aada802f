"""The reader of Embedding Studio's sessions: one JSON object a line, with results and events."""

from collections.abc import Iterator

from pydantic_core import from_json

from hooktune.contract.hooks import hookimpl
from hooktune.contract.log_source import LogSource
from hooktune.contract.long_form import LogPart
from hooktune.data.arrow_reader import read_session_blocks
from hooktune.data.session_block import part_of
from hooktune.errors import DataError


@hookimpl
def recognise_log(source: LogSource) -> str | None:
    """Recognise sessions by the fields of the first line."""
    try:
        first = from_json(source.head().split(b"\n", 1)[0], allow_partial=True)
    except (ValueError, DataError):
        return None
    if isinstance(first, dict) and {"session_id", "search_results"} <= first.keys():
        return "its first line has a 'session_id' and 'search_results'"
    return None


@hookimpl
def read_log(source: LogSource) -> Iterator[LogPart]:
    """Read sessions; each part holds whole ones, in the order in which results were shown."""
    for file in source.files:
        labels_of = source.labels_of if source.labels else None
        for block in read_session_blocks(file, source.findings, labels_of):
            yield part_of(block, file)
