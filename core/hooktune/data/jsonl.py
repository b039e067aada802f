"""Readers of logs: from files to checked sessions and items, one at a time."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import from_json

from hooktune.contract.json_lines import (
    Lines,
    explain,
    line_error,
    not_an_object,
    not_json,
    read_line_blocks,
    read_texts,
    shortened,
    texts_of_lines,
)
from hooktune.contract.long_form import MAX_NAME_LENGTH
from hooktune.data.log_schema import Item, Session
from hooktune.errors import RequestError, did_you_mean

_FIELD: Final = re.compile(r"\{([^{}]*)\}")


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


def read_items(path: Path, template: str = "{text}") -> Iterator[Item]:
    """Read items, one JSON object with an `object_id` and any other fields a line.

    Args:
        path: The file of items. Blank lines are passed over.
        template: How an item's text is made of its fields, such as `{title}. {text}`. A field that
            is used is to hold a text or a number.

    Yields:
        The items in the file's order; one that is stated twice in the same words comes once.

    Raises:
        DataError: The file or one of its lines cannot be used, or two lines give one object id
            different texts.
        RequestError: The template names no field.
    """
    fields = _FIELD.findall(template)
    if not fields:
        raise RequestError(
            f"The text template {template!r} names no field. "
            "Write one such as '{title}. {text}'."
        )
    seen: dict[str, tuple[int, int]] = {}
    for number, line in read_texts(path):
        try:
            item = _item(line, template, fields)
        except ValidationError as error:
            raise line_error(path, number, explain(error)) from None
        except ValueError as error:
            raise line_error(path, number, str(error)) from None
        # The hash stands for the text: the texts of all items might not fit into memory.
        text_hash = hash(item.text)
        first, first_hash = seen.setdefault(item.object_id, (number, text_hash))
        if text_hash != first_hash:
            raise line_error(
                path,
                number,
                f"the item {item.object_id!r} has another text than on line {first}.",
            )
        if first == number:
            yield item


def _item(line: str, template: str, fields: list[str]) -> Item:
    try:
        stated = from_json(line)
    except ValueError as error:
        raise ValueError(not_json(str(error))) from None
    if not isinstance(stated, dict):
        raise ValueError(not_an_object(stated))
    if "object_id" not in stated and "_id" in stated:
        # As BEIR's corpora name their documents.
        stated["object_id"] = stated["_id"]
    values = {field: _field_text(stated, field) for field in fields}
    item = Item.model_validate(
        {**stated, "text": _FIELD.sub(lambda match: values[match[1]], template).strip()}
    )
    if not any(value.strip() for value in values.values()):
        raise ValueError(f"the item {item.object_id!r} has a blank text.")
    return item


def _field_text(stated: dict[str, Any], field: str) -> str:
    if field not in stated:
        raise ValueError(
            f"the field {field!r}, which the text template names, is missing. "
            f"{did_you_mean(field, stated)}"
        )
    value = stated[field]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"the field {field!r} should be a text, and is {shortened(value)}.")
    return str(value)


def _session_named_in(line: str) -> str:
    try:
        session_id = from_json(line)["session_id"]
    except (ValueError, TypeError, KeyError):
        return ""
    if isinstance(session_id, str):
        session_id = session_id[:MAX_NAME_LENGTH]
    return f"session {session_id!r}: " if isinstance(session_id, str | int) else ""
