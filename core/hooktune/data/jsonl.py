"""The sessions of a log in Embedding Studio's format, checked one at a time."""

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import from_json

from hooktune.contract.json_lines import (
    Lines,
    explain,
    line_error,
    read_line_blocks,
    texts_of_lines,
)
from hooktune.contract.long_form import MAX_NAME_LENGTH
from hooktune.data.log_schema import Session


def read_sessions(path: Path | str) -> Iterator[Session]:
    """Read the sessions of a log in Embedding Studio's format, one JSON object a line.

    Args:
        path: The log. Blank lines are passed over.

    Yields:
        The sessions in the file's order.

    Raises:
        DataError: The file or one of its lines cannot be used, or two lines have one session id.
    """
    line_of: dict[str, int] = {}
    for first_number, lines in read_line_blocks(path):
        for number, session in checked_sessions(path, first_number, lines):
            first = line_of.setdefault(session.session_id, number)
            if first != number:
                raise line_error(
                    path,
                    number,
                    f"the session id {session.session_id!r} stands on line {first} already.",
                )
            yield session


def checked_sessions(
    path: Path | str, first_number: int, lines: Lines
) -> Iterator[tuple[int, Session]]:
    """Yield the sessions of some lines of a log, each with the number of its line."""
    for number, line in texts_of_lines(path, first_number, lines):
        try:
            session = Session.model_validate_json(line)
        except ValidationError as error:
            problem = f"{_session_named_in(line)}{explain(error)}"
            raise line_error(path, number, problem) from None
        yield number, session


def _session_named_in(line: str) -> str:
    try:
        session_id = from_json(line)["session_id"]
    except (ValueError, TypeError, KeyError):
        return ""
    if isinstance(session_id, str):
        session_id = session_id[:MAX_NAME_LENGTH]
    return f"session {session_id!r}: " if isinstance(session_id, str | int) else ""
