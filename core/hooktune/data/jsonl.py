"""Readers of logs: from files to checked sessions and items, one at a time."""

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError
from pydantic_core import from_json

from hooktune.data.log_schema import Item, Session
from hooktune.errors import DataError, RequestError, did_you_mean

Lines = list[bytes]

MAX_DEPTH: Final = 64
"""How many levels deep objects and lists may stand in each other on a line."""

_BLOCK_BYTES: Final = 1 << 24
_FIELD = re.compile(r"\{([^{}]*)\}")
_ESCAPED = re.compile(rb"\\.")
_LOOKED_AT_ONCE: Final = 1 << 16
_WORD: Final = 64
_AS_BRACES: Final = bytes.maketrans(b"[]", b"{}")
_NEITHER_BRACKET_NOR_QUOTE: Final = bytes(set(range(256)) - set(b'[]{}"'))
_SAME_LINE = re.compile(r"line 1 (?=column)")


def read_sessions(path: Path) -> Iterator[Session]:
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
                raise _line_error(
                    path,
                    number,
                    f"the session id {session.session_id!r} stands on line {first} already.",
                )
            yield session


def checked_sessions(path: Path, first_number: int, lines: Lines) -> Iterator[tuple[int, Session]]:
    """Yield the sessions of some lines of a log, each with the number of its line."""
    for number, line in _texts(path, first_number, lines):
        try:
            session = Session.model_validate_json(line)
        except ValidationError as error:
            problem = f"{_session_named_in(line)}{explain(error)}"
            raise _line_error(path, number, problem) from None
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
    for number, line in _read_texts(path):
        try:
            item = _item(line, template, fields)
        except ValidationError as error:
            raise _line_error(path, number, explain(error)) from None
        except ValueError as error:
            raise _line_error(path, number, str(error)) from None
        # The hash stands for the text: the texts of all items might not fit into memory.
        text_hash = hash(item.text)
        first, first_hash = seen.setdefault(item.object_id, (number, text_hash))
        if text_hash != first_hash:
            raise _line_error(
                path,
                number,
                f"the item {item.object_id!r} has another text than on line {first}.",
            )
        if first == number:
            yield item


def explain(error: ValidationError) -> str:
    """Say in a short sentence what the first problem of a JSON object is."""
    first = error.errors(include_url=False)[0]
    kind, given = first["type"], first["input"]
    if kind == "json_invalid":
        return _not_json(first["ctx"]["error"])
    if kind == "value_error":
        return f"{first['ctx']['error']}."
    if not first["loc"]:
        return _not_an_object(given)
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
    field = f"the field {field.removeprefix('.')!r}"
    if kind == "missing":
        return f"{field} is missing."
    if kind == "string_too_short":
        return f"{field} is empty."
    message = first["msg"].removeprefix("Input ")
    return f"{field} {message}, and is {_shortened(given)}."


def _item(line: str, template: str, fields: list[str]) -> Item:
    try:
        stated = from_json(line)
    except ValueError as error:
        raise ValueError(_not_json(str(error))) from None
    if not isinstance(stated, dict):
        raise ValueError(_not_an_object(stated))
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
        raise ValueError(f"the field {field!r} should be a text, and is {_shortened(value)}.")
    return str(value)


def read_line_blocks(path: Path) -> Iterator[tuple[int, Lines]]:
    """Yield the lines of a file, many at a time, each time with the number of the first, from 1.

    Raises:
        DataError: The file cannot be read, or holds no line that is not blank.
    """
    empty, number = True, 1
    try:
        with path.open("rb") as file:
            while lines := file.readlines(_BLOCK_BYTES):
                if number == 1:
                    lines[0] = lines[0].removeprefix(codecs.BOM_UTF8)
                if empty and stated_lines(lines):
                    empty = False
                yield number, lines
                number += len(lines)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file.") from None
    except IsADirectoryError:
        raise DataError(f"{path} is a folder. Name the file of JSON lines in it.") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from error
    if empty:
        raise DataError(f"{path} is empty. It should hold one JSON object a line.")


def stated_lines(lines: Lines) -> Lines:
    """Return the lines that are not blank, without the whitespace at their ends."""
    return [stated for line in lines if (stated := line.rstrip())]


def is_too_deep(line: bytes) -> bool:
    """Tell whether objects and lists stand in each other on a line more than `MAX_DEPTH` deep.

    It is to be asked before a line is parsed: parsers take time by the square of the depth.
    """
    if line.count(b"{") + line.count(b"[") <= MAX_DEPTH:
        return False
    if b"\\" in line:
        line = _ESCAPED.sub(b"", line)
    brackets = line.translate(_AS_BRACES, _NEITHER_BRACKET_NOR_QUOTE)
    brackets = b"".join(brackets.split(b'"')[::2])
    # Each turn takes away the innermost level; what never closes is left over.
    for depth in range(MAX_DEPTH + 1):
        if depth + brackets.count(b"{") <= MAX_DEPTH:
            return False
        brackets = brackets.replace(b"{}", b"")
    return True


def deep_lines(lines: Lines, text: bytes) -> Lines:
    """Return the lines that are too deep; one look at all of them tells most that are not.

    Args:
        lines: Lines without line breaks.
        text: The same, joined by line breaks.
    """
    content = np.frombuffer(text, np.uint8)
    parts = (
        # The two brackets that open something differ in one bit.
        np.packbits(content[start : start + _LOOKED_AT_ONCE] | 0x20 == ord("{"))
        for start in range(0, len(content), _LOOKED_AT_ONCE)
    )
    opening = np.concatenate([*parts, np.zeros(_WORD // 8, np.uint8)])
    words = opening[: len(opening) // 8 * 8].view(np.uint64)
    before = np.concatenate([[0], np.cumsum(np.bitwise_count(words), dtype=np.int64)])
    lengths = np.fromiter(map(len, lines), np.int64, len(lines))
    ends = np.cumsum(lengths + 1) - 1
    # Whole words are counted, so some brackets of a line's neighbours too.
    at_most = before[-(-ends // _WORD)] - before[(ends - lengths) // _WORD]
    doubtful = (lines[place] for place in np.flatnonzero(at_most > MAX_DEPTH))
    return [line for line in doubtful if is_too_deep(line)]


def _texts(path: Path, first_number: int, lines: Lines) -> Iterator[tuple[int, str]]:
    """Yield the lines of UTF-8 that are not blank, with their numbers."""
    for number, line in enumerate(lines, start=first_number):
        if stated := line.rstrip():
            yield number, _decoded(path, number, stated)


def _read_texts(path: Path) -> Iterator[tuple[int, str]]:
    for number, lines in read_line_blocks(path):
        yield from _texts(path, number, lines)


def _decoded(path: Path, number: int, line: bytes) -> str:
    if is_too_deep(line):
        raise _line_error(
            path,
            number,
            f"objects and lists stand in each other more than {MAX_DEPTH} levels deep. "
            "Take out fields that no search log needs.",
        )
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _line_error(
            path,
            number,
            f"not UTF-8: the byte 0x{line[error.start]:02x} at column {error.start + 1}. "
            "Save the file in UTF-8.",
        ) from None


def _session_named_in(line: str) -> str:
    try:
        session_id = from_json(line)["session_id"]
    except (ValueError, TypeError, KeyError):
        return ""
    return f"session {session_id!r}: " if isinstance(session_id, str | int) else ""


def _not_json(why: str) -> str:
    return f"not JSON: {_SAME_LINE.sub('', why)}. Each line should be one JSON object."


def _not_an_object(given: object) -> str:
    return f"each line should be one JSON object, and this is {_shortened(given)}."


def _shortened(given: object, limit: int = 40) -> str:
    text = json.dumps(given, ensure_ascii=False, default=str)
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _line_error(path: Path, number: int, problem: str) -> DataError:
    return DataError(f"{path}, line {number}: {problem}")
